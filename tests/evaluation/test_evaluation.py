"""The evaluation loop, protocols and reports."""

import csv
import json

import numpy as np
import pytest
from keras import ops
from tiny import tiny_posterior, tiny_prior

import gss_keras
from gss_keras import evaluation, metrics, synthetic
from gss_keras.data import mseg
from gss_keras.inference.views import Views
from gss_keras.synthetic import streets

pytestmark = pytest.mark.any_backend


class InMemorySource:
    """A source of records in memory."""

    def __init__(self, records, classes):
        self.records, self.classes = records, tuple(classes)
        self.num_classes = len(self.classes)

    def __len__(self):
        return len(self.records)

    def __getitem__(self, index):
        return self.records[index]


class RedChannelSegmenter:
    """A segmenter that predicts the values of the photo's red channel."""

    def __init__(self, num_classes):
        self.num_classes = num_classes

    def predict_logits(self, photo, window=None, stride=None):
        del window, stride
        return np.eye(256, dtype="float32")[photo[..., 0]][
            ..., : self.num_classes
        ]

    def predict(self, photo, views=None, **sliding):
        del views
        return self.predict_logits(photo, **sliding).argmax(-1)


def make_record(truth, prediction, name="photo"):
    photo = np.repeat(np.array(prediction, "uint8")[..., None], 3, axis=2)
    return {"photo": photo, "mask": np.array(truth, "int32"), "name": name}


@pytest.fixture
def source():
    """Two photos of different sizes; the third class never occurs."""
    return InMemorySource(
        [
            make_record([[0, 0, 1]], [[0, 1, 1]], "one"),
            make_record([[0], [255], [0], [0]], [[0], [1], [0], [3]], "two"),
        ],
        ["sky", "road", "car", "tree"],
    )


def test_scores_are_computed_over_all_pixels(source):
    scores = evaluation.evaluate(RedChannelSegmenter(4), source)
    np.testing.assert_allclose(scores["class_iou"], [60, 50, np.nan, 0])
    np.testing.assert_allclose(
        scores["class_accuracy"], [60, 100, np.nan, np.nan]
    )
    assert scores["mIoU"] == pytest.approx(110 / 3)
    assert scores["mAcc"] == pytest.approx(80)
    assert scores["pixel_accuracy"] == pytest.approx(100 * 4 / 6)
    assert scores["photos"] == 2
    assert scores["confusion"].sum() == 6
    assert scores["classes"] == ("sky", "road", "car", "tree")


def test_on_prediction_is_called_for_each_record(source):
    predictions = {}
    evaluation.evaluate(
        RedChannelSegmenter(4),
        source,
        on_prediction=lambda record, mask: predictions.update(
            {record["name"]: mask}
        ),
    )
    assert predictions["one"].tolist() == [[0, 1, 1]]
    assert predictions["two"].tolist() == [[0], [1], [0], [3]]


def test_limit_spaces_photos_evenly():
    records = [make_record([[0]], [[0]], str(i)) for i in range(10)]
    source, names = InMemorySource(records, ["sky", "road"]), []
    for limit in (3, 10, 99):
        names.append([])
        scores = evaluation.evaluate(
            RedChannelSegmenter(2),
            source,
            limit=limit,
            on_prediction=lambda record, _: names[-1].append(record["name"]),
        )
        assert scores["photos"] == len(names[-1])
    assert names[0] == ["0", "4", "9"]
    assert names[1] == names[2] == [str(i) for i in range(10)]


def test_different_classes_require_a_mapping(source):
    with pytest.raises(ValueError, match=r"`source` must have the classes"):
        evaluation.evaluate(RedChannelSegmenter(9), source)
    swap = np.array([1, 0, 2, 255, 0, 0, 0, 0, 0])
    scores = evaluation.evaluate(
        RedChannelSegmenter(9), source, map_mask=lambda mask: swap[mask]
    )
    # The pixel of class 3 maps to no class, which is an error.
    np.testing.assert_array_equal(
        scores["confusion"][:2], [[1, 3, 0, 0, 1], [1, 0, 0, 0, 0]]
    )


def test_probabilities_are_mapped_before_the_argmax(source):
    matrix = np.eye(4, dtype="float32")[[1, 1, 2, 3]]
    scores = evaluation.evaluate(
        RedChannelSegmenter(4),
        source,
        map_probabilities=lambda scores: ops.matmul(scores, matrix),
    )
    assert scores["confusion"][:, 0].sum() == 0
    assert scores["confusion"][0, 1] == 4


def test_mseg_maps_universal_classes():
    universal = [mseg.UNIVERSAL_CLASSES.index(n) for n in ("couch", "bridge")]
    classes = mseg.class_names("voc2012")
    truth = [[classes.index("sofa"), classes.index("background")]]
    source = InMemorySource([make_record(truth, [universal])], classes)
    for of_probabilities in (False, True):
        scores = evaluation.evaluate(
            RedChannelSegmenter(194),
            source,
            **evaluation.maps_for("mseg-voc2012", 194, of_probabilities),
        )
        # Probabilities of one-hot logits are nearly uniform: background, which
        # includes the most classes, always wins.
        assert scores["pixel_accuracy"] == (50 if of_probabilities else 100)


def test_only_universal_predictions_are_mapped():
    assert evaluation.maps_for("mseg-kitti-19", 19) == {}
    assert evaluation.maps_for("cityscapes", 194) == {}


def test_mseg_opens_all_test_sets(tmp_path):
    folder = synthetic.miniature.write("mseg", tmp_path / "mseg", size=(32, 48))
    sources = evaluation.open_sources("mseg", folder)
    assert list(sources) == [f"mseg-{name}" for name in mseg.TEST_SETS]
    assert [s.num_classes for s in sources.values()] == [21, 60, 11, 19, 19, 20]
    for name in sources:
        assert evaluation.published_views(name).fit == (2048, 512)


def test_written_reports_match_the_scores(source, tmp_path):
    scores = evaluation.evaluate(RedChannelSegmenter(4), source)
    evaluation.write(scores, tmp_path / "new")
    text = (tmp_path / "new" / "scores.json").read_text()
    assert "NaN" not in text
    written = json.loads(text)
    assert written["mIoU"] == pytest.approx(scores["mIoU"])
    assert written["photos"] == 2
    assert [c["name"] for c in written["classes"]] == list(source.classes)
    assert written["classes"][2] == {
        "name": "car",
        "IoU": None,
        "accuracy": None,
        "share": 0,
    }
    with open(tmp_path / "new" / "confusion.csv", newline="") as file:
        rows = list(csv.reader(file))
    counts = np.array([row[1:] for row in rows[1:]], int)
    np.testing.assert_array_equal(counts, scores["confusion"])
    with open(tmp_path / "new" / "classes.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[1][0] == "sky" and float(rows[1][1]) == pytest.approx(60)
    assert rows[3] == ["car", "", "", "0.0"]
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert {"confusion.png", "iou.png"} <= names
    table = evaluation.table(scores).splitlines()
    assert table[2].startswith("| sky | 60.00 | 60.00 | ")
    assert table[4] == "| car | - | - | 0.00 |"
    assert table[-1].startswith("| **mean** | **36.67** | **80.00**")


def test_sources_without_labels_score_0(tmp_path):
    source = InMemorySource([make_record([[255]], [[0]])], ["sky", "road"])
    scores = evaluation.evaluate(RedChannelSegmenter(2), source)
    assert scores["mIoU"] == scores["mAcc"] == scores["pixel_accuracy"] == 0
    evaluation.write(scores, tmp_path)
    assert json.loads((tmp_path / "scores.json").read_text())["mIoU"] == 0


def test_evaluate_scores_the_output_of_predict(tmp_path):
    source = streets.draw(tmp_path / "streets", 2, seed=1, size=(32, 48))
    segmenter = gss_keras.GenerativeSegmenter(
        tiny_prior(tiny_posterior(num_classes=source.num_classes))
    )
    views = Views(scales=(0.5, 1.0), flip=True)
    for arguments in ({}, {"window": (24, 32)}, {"views": views}):
        scores = evaluation.evaluate(segmenter, source, **arguments)
        counts = sum(
            metrics.confusion_matrix(
                record["mask"],
                segmenter.predict(record["photo"], **arguments),
                source.num_classes,
            )
            for record in (source[0], source[1])
        )
        np.testing.assert_array_equal(scores["confusion"], counts)
