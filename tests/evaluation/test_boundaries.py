"""The boundary F-score on masks with known results."""

import numpy as np
import pytest

from gss_keras.evaluation import BoundaryScore

pytestmark = pytest.mark.any_backend


def half(split, size=100):
    """Return a mask of two classes with a vertical boundary at `split`."""
    mask = np.zeros((size, size), "int32")
    mask[:, split:] = 1
    return mask


def score(mask, predicted, num_classes=2, **kwargs):
    scorer = BoundaryScore(num_classes, **kwargs)
    scorer.add(mask, predicted)
    return scorer


def test_equal_masks_score_100():
    generator = np.random.default_rng(0)
    mask = generator.integers(0, 4, (9, 12)).repeat(5, 0).repeat(5, 1)
    assert score(mask, mask, 4).result() == 100.0


@pytest.mark.parametrize(("shift", "expected"), [(1, 100), (3, 0)])
def test_shifted_boundaries_match_within_the_tolerance(shift, expected):
    # The diagonal is 141, so the tolerance is 1.06 pixels, and the boundary of
    # a class is one pixel wide.
    assert score(half(50), half(50 + shift)).result() == expected


def test_f_score_combines_precision_and_recall():
    mask = half(50)
    # The lower half of the true boundary is missed, and a horizontal boundary
    # of 50 pixels is wrong.
    predicted = mask.copy()
    predicted[50:] = 0
    strict = BoundaryScore(2, tolerance=1e-9)
    strict.add(mask, predicted)
    # Class 1: recall is 50 of 100 true boundary pixels. Of 99 predicted ones,
    # 50 vertical and 50 horizontal with a common corner, 50 are right.
    recall, precision = 0.5, 50 / 99
    expected = 200 * recall * precision / (recall + precision)
    assert strict.by_class()[1] == pytest.approx(expected)


def test_ignored_pixels_have_no_boundaries():
    mask, predicted = half(50), half(50)
    predicted[:20] = 1 - predicted[:20]
    mask[:20] = 255
    # The prediction is wrong only in the ignored rows.
    assert score(mask, predicted).result() == 100.0
    ignored = score(np.full((9, 9), 255), np.zeros((9, 9), int))
    assert ignored.result() == 0.0
    assert np.isnan(ignored.by_class()).all()


def test_scores_are_averaged_over_photos_then_classes():
    scorer = BoundaryScore(3)
    scorer.add(half(50), half(50))
    scorer.add(half(50), half(60))
    third = half(50)
    third[third == 1] = 2
    scorer.add(third, third)
    # Class 0 in three photos, class 1 in two, class 2 in one.
    by_class = scorer.by_class()
    np.testing.assert_allclose(by_class, [200 / 3, 50, 100])
    assert scorer.result() == pytest.approx(by_class.mean())


def test_missed_and_falsely_predicted_classes_score_0():
    mask = half(50)
    assert score(mask, np.zeros_like(mask)).result() == 0.0
    false_positive = mask.copy()
    false_positive[:10, :10] = 2
    assert score(mask, false_positive, 3).by_class()[2] == 0.0
