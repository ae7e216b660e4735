import numpy as np
import pytest

from gss_keras import SegmentationScores, metrics


def test_scores_equal_the_reference_implementation(golden):
    arrays = np.load(golden / "miou.npz")
    scores = SegmentationScores(num_classes=8)
    for index in range(3):
        scores.update_state(arrays[f"in/gt{index}"], arrays[f"in/pred{index}"])
    np.testing.assert_allclose(
        scores.class_iou(), 100 * arrays["out/IoU_nan"], rtol=1e-12
    )
    result = scores.result()
    for name, key in [
        ("mIoU", "mIoU"),
        ("mAcc", "mAcc"),
        ("pixel_accuracy", "aAcc"),
    ]:
        expected = 100 * arrays[f"out/{key}"][0]
        np.testing.assert_allclose(float(result[name]), expected, rtol=1e-6)


def test_counts_are_exact_beyond_the_range_of_float32():
    scores = SegmentationScores(num_classes=2)
    ones = np.ones((1 << 22,), "int32")
    for _ in range(5):
        scores.update_state(ones, ones)
    scores.update_state([1], [1])
    assert scores.confusion()[1, 1] == 5 * (1 << 22) + 1


def test_ignored_pixels_are_not_counted():
    scores = SegmentationScores(num_classes=3)
    scores.update_state(np.full((2, 4, 4), 255), np.zeros((2, 4, 4), "int32"))
    assert scores.confusion().sum() == 0
    assert float(scores.result()["mIoU"]) == 0.0


def test_reset_state():
    scores = SegmentationScores(num_classes=2)
    scores.update_state([0, 1], [1, 1])
    scores.reset_state()
    assert scores.confusion().sum() == 0


def test_sample_weight_is_an_error():
    scores = SegmentationScores(num_classes=2)
    with pytest.raises(ValueError, match="`sample_weight` must be None"):
        scores.update_state([0], [0], sample_weight=[1.0])


def test_numpy_functions_equal_the_keras_metric():
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 7, (5, 30, 40))
    predicted = rng.integers(0, 5, (5, 30, 40))
    truth[:, :3] = 255
    counts = metrics.confusion_matrix(truth, predicted, num_classes=7)
    scores = SegmentationScores(num_classes=7)
    scores.update_state(truth, predicted)
    np.testing.assert_array_equal(counts[:, :7], scores.confusion())
    assert not counts[:, 7].any()
    result = scores.result()
    for name, value in [
        ("mIoU", metrics.mean_iou(counts)),
        ("mAcc", metrics.mean_of_present(metrics.class_accuracy(counts))),
        ("pixel_accuracy", metrics.pixel_accuracy(counts)),
    ]:
        np.testing.assert_allclose(value, float(result[name]), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "int64"])
def test_predictions_outside_the_classes_are_wrong(dtype):
    truth = np.array([[0, 0, 1, 255]], dtype)
    predicted = np.array([[0, 255, 2, 255]], dtype)
    counts = metrics.confusion_matrix(truth, predicted, num_classes=2)
    np.testing.assert_array_equal(counts, [[1, 0, 1], [0, 0, 1]])
    np.testing.assert_array_equal(metrics.class_iou(counts), [50, 0])
    np.testing.assert_array_equal(metrics.class_accuracy(counts), [50, 0])
    assert metrics.pixel_accuracy(counts) == pytest.approx(100 / 3)


def test_negative_ids_are_outside_the_classes():
    counts = metrics.confusion_matrix([-1, 1, 0], [0, -1, 0], num_classes=2)
    np.testing.assert_array_equal(counts, [[1, 0, 0], [0, 0, 1]])


def test_absent_classes_are_not_averaged():
    # Class 0 is in both masks, class 1 only in the prediction, class 2 in none.
    counts = metrics.confusion_matrix([0, 0, 0], [0, 0, 1], num_classes=3)
    iou, accuracy = metrics.class_iou(counts), metrics.class_accuracy(counts)
    np.testing.assert_allclose(iou, [200 / 3, 0, np.nan])
    np.testing.assert_allclose(accuracy, [200 / 3, np.nan, np.nan])
    assert metrics.mean_iou(counts) == pytest.approx(100 / 3)
    assert metrics.mean_of_present(accuracy) == pytest.approx(200 / 3)
    assert metrics.mean_iou(np.zeros((3, 4))) == 0


def test_masks_of_different_shapes_are_errors():
    with pytest.raises(
        ValueError, match="`predicted` must have the same shape"
    ):
        metrics.confusion_matrix(np.zeros((2, 3)), np.zeros((3, 2)), 2)


@pytest.mark.parametrize(
    ("scores", "published"),
    [
        ([64.1, 37.1, 72.3, 59.3, 62.0, 40.6], 52.6),
        ([65.2, 38.8, 75.2, 62.5, 66.2, 43.1], 55.2),
        ([78.7, 45.8, 74.2, 61.8, 65.4, 46.9], 59.5),
        ([79.5, 47.7, 75.9, 65.3, 68.0, 49.7], 61.9),
    ],
)
def test_harmonic_means_equal_the_published_ones(scores, published):
    assert metrics.harmonic_mean(scores) == pytest.approx(published, abs=0.05)


def test_a_score_of_zero_makes_the_harmonic_mean_zero():
    assert metrics.harmonic_mean([0.0, 50.0]) == 0
    for malformed in ([], [-1.0], [np.nan, 1.0]):
        with pytest.raises(ValueError, match="`values` must be at least one"):
            metrics.harmonic_mean(malformed)
