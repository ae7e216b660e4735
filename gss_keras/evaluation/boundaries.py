"""How well the outlines of predicted masks follow those of true ones."""

import numpy as np

from gss_keras.maskige.mapping import IGNORE_LABEL


class BoundaryScore:
    """Averages the F-score of outlines over photos and classes.

    A pixel lies on the outline of its class if a pixel above, below or beside
    it has another class. A predicted outline pixel is right, and a true one
    found, if the other mask has an outline pixel of the same class within the
    tolerance. Precision and recall give one F-score for each class and photo
    in which the class occurs, in truth or prediction; those are averaged over
    photos, then over classes. Ignored pixels have no outlines and make none.

    Needs SciPy, part of the `data` extra.

    Args:
        num_classes: Number of classes.
        tolerance: Distance in pixels, as a share of the photo's diagonal.

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
        """Count one photo.

        Args:
            mask: Int array `(height, width)`, true ids in
                `[0, num_classes)` or 255.
            predicted: Int array `(height, width)`, ids in
                `[0, num_classes)`.
        """
        mask = np.asarray(mask, "int32")
        predicted = np.asarray(predicted, "int32")
        predicted = np.where(mask == IGNORE_LABEL, IGNORE_LABEL, predicted)
        reach = self.tolerance * np.hypot(*mask.shape)
        true_outlines, found_outlines = _outlines(mask), _outlines(predicted)
        for label in np.union1d(mask, predicted):
            if label >= self.num_classes:
                continue
            true = true_outlines & (mask == label)
            found = found_outlines & (predicted == label)
            if true.any() or found.any():
                self._sums[label] += _f_score(true, found, reach)
                self._photos[label] += 1

    def by_class(self):
        """Return float64 `(num_classes,)`, in percent, NaN where absent."""
        means = np.full(self.num_classes, np.nan)
        occurs = self._photos > 0
        means[occurs] = 100 * self._sums[occurs] / self._photos[occurs]
        return means

    def result(self):
        """Return the mean over the classes that occur, in percent."""
        means = self.by_class()
        return float(np.nanmean(means)) if self._photos.any() else 0.0


def _outlines(mask):
    """Say of each pixel whether a neighbor has another known class."""
    known = mask != IGNORE_LABEL
    outlines = np.zeros(mask.shape, bool)
    for axis in (0, 1):
        one = [slice(None)] * 2
        one[axis] = slice(None, -1)
        other = [slice(None)] * 2
        other[axis] = slice(1, None)
        one, other = tuple(one), tuple(other)
        differ = (mask[one] != mask[other]) & known[one] & known[other]
        outlines[one] |= differ
        outlines[other] |= differ
    return outlines


def _f_score(true, found, reach):
    if not (true.any() and found.any()):
        return 0.0
    precision, recall = (
        _share_near(found, true, reach),
        _share_near(true, found, reach),
    )
    total = precision + recall
    return 2 * precision * recall / total if total else 0.0


def _share_near(pixels, others, reach):
    """Return the share of pixels with one of the others within reach."""
    from scipy import ndimage

    distances = ndimage.distance_transform_edt(~others)
    return (distances[pixels] <= reach).mean()
