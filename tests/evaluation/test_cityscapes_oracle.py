"""Cityscapes' own evaluation gives the same scores for the same files.

Both sides treat a class that is only in the truth, or only in predictions on
labeled pixels, as IoU 0, and one that is in neither as absent: nan there, NaN
here, left out of the mean by both. What is predicted where nothing is labeled
counts for neither.
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
# Instances, which the benchmark weighs in a second score, are left out: that
# part asks NumPy for a function that it no longer has.
_RUN = """
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as own
own.args.evalInstLevelScore = False
own.main()
"""


@pytest.fixture
def truth(tmp_path):
    """Cityscapes' layout, with label ids of all kinds but for some classes."""
    generator = np.random.default_rng(5)
    labels = [label for label in range(34) if label not in ids("train", "bus")]
    for number, city in enumerate(["frankfurt", "frankfurt", "lindau"]):
        name = f"{city}_{number:06d}_000019"
        label_ids = generator.choice(labels, (30, 60)).repeat(4, 0).repeat(4, 1)
        photo = generator.integers(0, 256, (120, 240, 3))
        for folder, ending, pixels in [
            ("leftImg8bit", "leftImg8bit", photo),
            ("gtFine", "gtFine_labelIds", label_ids),
        ]:
            path = tmp_path / folder / "val" / city / f"{name}_{ending}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype("uint8")).save(path)
    return Cityscapes(tmp_path, "val")


def ids(*names):
    return [LABEL_IDS[CLASSES.index(name)] for name in names]


def predict(source, submission):
    """Write predictions that are half right, and never caravan or train."""
    generator = np.random.default_rng(6)
    others = [i for i in range(19) if CLASSES[i] not in ("train", "wall")]
    for record in source:
        mask = record["mask"]
        guess = generator.choice(others, mask.shape)
        is_right = (generator.random(mask.shape) < 0.5) & (mask < 19)
        guess[is_right] = mask[is_right]
        guess[guess == CLASSES.index("wall")] = CLASSES.index("fence")
        # Where nothing is labeled, anything may be predicted.
        guess[mask == 255] = CLASSES.index("train")
        submission.write(record["name"], guess)


def own_scores(data_dir, results):
    """Run the benchmark's script and return what it wrote."""
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
    own = own_scores(tmp_path, tmp_path / "results")
    expected = [100 * own["classScores"][name] for name in CLASSES]
    np.testing.assert_allclose(scores["class_iou"], expected, atol=1e-9)
    assert scores["mIoU"] == pytest.approx(
        100 * own["averageScoreClasses"], abs=1e-9
    )
    # Bus only predicted, wall only true, train neither on labeled pixels.
    found = dict(zip(CLASSES, scores["class_iou"], strict=True))
    assert found["bus"] == found["wall"] == 0 and np.isnan(found["train"])
    assert 20 < scores["mIoU"] < 80
    # The counts themselves, of the labels that the benchmark scores.
    counts = np.array(own["confMatrix"])[np.ix_(LABEL_IDS, LABEL_IDS)]
    np.testing.assert_array_equal(scores["confusion"][:, :19], counts)
