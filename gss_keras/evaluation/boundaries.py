"""Boundary F-score of predicted masks."""

import numpy as np

from gss_keras.constants import IGNORE_LABEL


class BoundaryScore:
    """Compute the boundary F-score, averaged over photos and classes.

    A pixel is a boundary pixel of its class if one of its 4-connected
    neighbors has another class. A predicted boundary pixel is a true positive
    for precision, and a true boundary pixel for recall, if the other mask has
    a boundary pixel of the same class within the tolerance. Precision and
    recall give one F-score for each photo and class that occurs in truth or
    prediction. F-scores are averaged over photos, then over classes. Ignored
    pixels are no boundary pixels and create none at their neighbors.

    Requires SciPy, part of the `data` extra.

    Args:
        num_classes: Number of classes.
        tolerance: Maximum distance as a fraction of the photo's diagonal.

    Reference:
        Csurka et al., "What is a good evaluation measure for semantic
        segmentation?", BMVC 2013, whose tolerance is the default.

    Example:
        >>> columns = np.arange(100)[None].repeat(100, axis=0)
        >>> score = BoundaryScore(num_classes=2)
        >>> score.add(columns < 50, columns < 51)
        >>> score.add(columns < 50, columns < 80)
        >>> score.result()
        50.0
    """

    def __init__(self, num_classes, tolerance=0.0075):
        self.num_classes = num_classes
        self.tolerance = tolerance
        self._sums = np.zeros(num_classes)
        self._photos = np.zeros(num_classes, "int64")

    def add(self, mask, predicted):
        """Add the F-scores of one photo.

        Args:
            mask: Int array `(height, width)`, true ids in
                `[0, num_classes)` or 255.
            predicted: Int array `(height, width)`, ids in
                `[0, num_classes)`.
        """
        mask = np.asarray(mask, "int32")
        predicted = np.asarray(predicted, "int32")
        predicted = np.where(mask == IGNORE_LABEL, IGNORE_LABEL, predicted)
        max_distance = self.tolerance * np.hypot(*mask.shape)
        true_boundary = _boundary(mask)
        predicted_boundary = _boundary(predicted)
        for label in np.union1d(mask, predicted):
            if label >= self.num_classes:
                continue
            true_pixels = true_boundary & (mask == label)
            predicted_pixels = predicted_boundary & (predicted == label)
            if true_pixels.any() or predicted_pixels.any():
                self._sums[label] += _f_score(
                    true_pixels, predicted_pixels, max_distance
                )
                self._photos[label] += 1

    def by_class(self):
        """Return the F-score of each class.

        Returns:
            float64 array `(num_classes,)` in percent, NaN for absent classes.
        """
        means = np.full(self.num_classes, np.nan)
        occurs = self._photos > 0
        means[occurs] = 100 * self._sums[occurs] / self._photos[occurs]
        return means

    def result(self):
        """Return the mean F-score of the classes that occur, in percent."""
        means = self.by_class()
        return float(np.nanmean(means)) if self._photos.any() else 0.0


def _boundary(mask):
    """Return a boolean mask of the pixels with a neighbor of another class."""
    is_labeled = mask != IGNORE_LABEL
    boundary = np.zeros(mask.shape, bool)
    for axis in (0, 1):
        one = [slice(None)] * 2
        one[axis] = slice(None, -1)
        other = [slice(None)] * 2
        other[axis] = slice(1, None)
        one, other = tuple(one), tuple(other)
        differ = (mask[one] != mask[other]) & is_labeled[one]
        differ &= is_labeled[other]
        boundary[one] |= differ
        boundary[other] |= differ
    return boundary


def _f_score(true, predicted, max_distance):
    if not (true.any() and predicted.any()):
        return 0.0
    precision = _matched_fraction(predicted, true, max_distance)
    recall = _matched_fraction(true, predicted, max_distance)
    total = precision + recall
    return 2 * precision * recall / total if total else 0.0


def _matched_fraction(pixels, targets, max_distance):
    """Return the fraction of pixels within a distance of a target pixel."""
    from scipy import ndimage

    distances = ndimage.distance_transform_edt(~targets)
    return (distances[pixels] <= max_distance).mean()
