"""Compare the scores with those of Cityscapes' evaluation script.

Both assign IoU 0 to a class that occurs only in the truth or only in the
predictions at labeled pixels. Both assign NaN to a class that occurs in
neither and exclude it from the mean. Both ignore predictions at unlabeled
pixels.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from gss_keras import evaluation, metrics
from gss_keras.data import Cityscapes, catalog
from gss_keras.data.cityscapes import LABEL_IDS
from gss_keras.data.submission import Submission

pytestmark = pytest.mark.any_backend

CLASSES = catalog.card("cityscapes").classes
# Without the instance-level score, whose implementation calls a function that
# NumPy has removed.
_RUN = """
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as tool
tool.args.evalInstLevelScore = False
tool.main()
"""


@pytest.fixture
def truth(tmp_path):
    """A source in Cityscapes' layout, without the classes train and bus."""
    generator = np.random.default_rng(5)
    labels = [label for label in range(34) if label not in ids("train", "bus")]
    for number, city in enumerate(["frankfurt", "frankfurt", "lindau"]):
        name = f"{city}_{number:06d}_000019"
        label_ids = generator.choice(labels, (30, 60)).repeat(4, 0).repeat(4, 1)
        photo = generator.integers(0, 256, (120, 240, 3))
        for folder, suffix, pixels in [
            ("leftImg8bit", "leftImg8bit", photo),
            ("gtFine", "gtFine_labelIds", label_ids),
        ]:
            path = tmp_path / folder / "val" / city / f"{name}_{suffix}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype("uint8")).save(path)
    return Cityscapes(tmp_path, "val")


def ids(*names):
    return [LABEL_IDS[CLASSES.index(name)] for name in names]


def predict(source, submission):
    """Write half-right predictions, without wall and labeled train pixels."""
    generator = np.random.default_rng(6)
    others = [i for i in range(19) if CLASSES[i] not in ("train", "wall")]
    for record in source:
        mask = record["mask"]
        prediction = generator.choice(others, mask.shape)
        is_right = (generator.random(mask.shape) < 0.5) & (mask < 19)
        prediction[is_right] = mask[is_right]
        prediction[prediction == CLASSES.index("wall")] = CLASSES.index("fence")
        # Predictions at unlabeled pixels must not count.
        prediction[mask == 255] = CLASSES.index("train")
        submission.write(record["name"], prediction)


def run_script(data_dir, results):
    """Run the benchmark's script and return its results."""
    subprocess.run(
        [sys.executable, "-c", _RUN],
        env={
            **os.environ,
            "CITYSCAPES_DATASET": str(data_dir),
            "CITYSCAPES_RESULTS": str(results),
        },
        check=True,
        capture_output=True,
    )
    folder = data_dir / "evaluationResults"
    return json.loads(
        (folder / "resultPixelLevelSemanticLabeling.json").read_text()
    )


def test_scores_equal_those_of_cityscapesscripts(truth, tmp_path):
    for package in ("cityscapesscripts", "pyquaternion"):
        pytest.importorskip(
            package, reason=f"`pip install --no-deps {package}`, an oracle"
        )
    submission = Submission(tmp_path / "results", "cityscapes")
    predict(truth, submission)
    confusion = sum(
        metrics.confusion_matrix(
            record["mask"], submission.read(record["name"]), 19
        )
        for record in truth
    )
    scores = evaluation.scores_of(confusion, CLASSES)
    official = run_script(tmp_path, tmp_path / "results")
    expected = [100 * official["classScores"][name] for name in CLASSES]
    np.testing.assert_allclose(scores["class_iou"], expected, atol=1e-9)
    assert scores["mIoU"] == pytest.approx(
        100 * official["averageScoreClasses"], abs=1e-9
    )
    # Bus occurs only in the predictions, wall only in the truth, and train in
    # neither at labeled pixels.
    iou = dict(zip(CLASSES, scores["class_iou"], strict=True))
    assert iou["bus"] == iou["wall"] == 0 and np.isnan(iou["train"])
    assert 20 < scores["mIoU"] < 80
    counts = np.array(official["confMatrix"])[np.ix_(LABEL_IDS, LABEL_IDS)]
    np.testing.assert_array_equal(scores["confusion"][:, :19], counts)
