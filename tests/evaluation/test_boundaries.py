"""Outlines are scored as their definition says."""

import numpy as np
import pytest

from gss_keras.evaluation import BoundaryScore

pytestmark = pytest.mark.any_backend


def half(split, size=100):
    """A mask of two classes that meet at one column."""
    mask = np.zeros((size, size), "int32")
    mask[:, split:] = 1
    return mask


def score(mask, predicted, num_classes=2, **kwargs):
    scorer = BoundaryScore(num_classes, **kwargs)
    scorer.add(mask, predicted)
    return scorer


def test_the_mask_itself_is_perfect():
    generator = np.random.default_rng(0)
    mask = generator.integers(0, 4, (9, 12)).repeat(5, 0).repeat(5, 1)
    assert score(mask, mask, 4).result() == 100.0


@pytest.mark.parametrize(("shift", "expected"), [(1, 100), (3, 0)])
def test_a_shifted_outline_is_right_within_the_tolerance(shift, expected):
    # The diagonal is 141, so the tolerance is 1.06 pixels, and the outline of
    # a class is one pixel wide.
    assert score(half(50), half(50 + shift)).result() == expected


def test_precision_and_recall_make_the_f_score():
    mask = half(50)
    # Half of the true outline is found, and all that is found is right but
    # for the new horizontal outline of 50 pixels.
    predicted = mask.copy()
    predicted[50:] = 0
    precise = BoundaryScore(2, tolerance=1e-9)
    precise.add(mask, predicted)
    # Of class 1: 50 of its 100 true pixels; 99 predicted ones (50 below each
    # other, 50 beside each other, one of them counted twice), 50 right.
    recall, precision = 0.5, 50 / 99
    expected = 200 * recall * precision / (recall + precision)
    assert precise.by_class()[1] == pytest.approx(expected)


def test_ignored_pixels_have_no_outlines():
    mask, predicted = half(50), half(50)
    predicted[:20] = 1 - predicted[:20]
    mask[:20] = 255
    # Only what lies beside the ignored rows can be scored, and it is right.
    assert score(mask, predicted).result() == 100.0
    nothing = score(np.full((9, 9), 255), np.zeros((9, 9), int))
    assert nothing.result() == 0.0
    assert np.isnan(nothing.by_class()).all()


def test_photos_then_classes_are_averaged():
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


def test_a_class_that_is_missed_or_made_up_scores_nothing():
    mask = half(50)
    assert score(mask, np.zeros_like(mask)).result() == 0.0
    made_up = mask.copy()
    made_up[:10, :10] = 2
    assert score(mask, made_up, 3).by_class()[2] == 0.0
