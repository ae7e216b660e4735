import numpy as np
import pytest

from gss_keras import SegmentationScores


def test_scores_equal_the_reference_implementation(golden):
    numbers = np.load(golden / "miou.npz")
    scores = SegmentationScores(num_classes=8)
    for index in range(3):
        scores.update_state(
            numbers[f"in/gt{index}"], numbers[f"in/pred{index}"]
        )
    np.testing.assert_allclose(
        scores.class_iou(), 100 * numbers["out/IoU_nan"], rtol=1e-12
    )
    result = scores.result()
    for name, key in [
        ("mIoU", "mIoU"),
        ("mAcc", "mAcc"),
        ("pixel_accuracy", "aAcc"),
    ]:
        expected = 100 * numbers[f"out/{key}"][0]
        np.testing.assert_allclose(float(result[name]), expected, rtol=1e-6)


def test_counts_stay_exact_beyond_the_integers_of_float32():
    scores = SegmentationScores(num_classes=2)
    ones = np.ones((1 << 22,), "int32")
    for _ in range(5):
        scores.update_state(ones, ones)
    scores.update_state([1], [1])
    assert scores.confusion()[1, 1] == 5 * (1 << 22) + 1


def test_ignored_pixels_do_not_count():
    scores = SegmentationScores(num_classes=3)
    scores.update_state(np.full((2, 4, 4), 255), np.zeros((2, 4, 4), "int32"))
    assert scores.confusion().sum() == 0
    assert float(scores.result()["mIoU"]) == 0.0


def test_reset_forgets():
    scores = SegmentationScores(num_classes=2)
    scores.update_state([0, 1], [1, 1])
    scores.reset_state()
    assert scores.confusion().sum() == 0


def test_sample_weight_is_refused():
    scores = SegmentationScores(num_classes=2)
    with pytest.raises(ValueError, match="`sample_weight` must be None"):
        scores.update_state([0], [0], sample_weight=[1.0])
