"""Segmentation metrics from exact confusion matrices."""

import keras
import numpy as np
from keras import ops

from gss_keras.distribution.backend import run_on_one_replica

# Each entry of the confusion matrix is stored as two int32 digits of this base,
# since int32 overflows at 2 ** 31 pixels and float32 is exact up to 2 ** 24.
_BASE = 2**20


@keras.saving.register_keras_serializable(package="gss_keras")
class SegmentationScores(keras.metrics.Metric):
    """Compute mIoU, mean class accuracy and pixel accuracy.

    They are computed from the confusion matrix of all pixels of all photos.
    `result()` returns three scores in percent: `mIoU`, the mean over classes
    of intersection over union; `mAcc`, the mean over classes of the class
    accuracy (recall); `pixel_accuracy`, the percentage of correct pixels.
    Classes that occur neither in the truth nor in the predictions are left
    out of `mIoU`, and classes that do not occur in the truth out of `mAcc`.

    Args:
        num_classes: Number of classes K.
        ignore_label: Id in the true mask to ignore.
        name: Name of the metric.
        **kwargs: Passed to `keras.metrics.Metric`.

    Example:
        >>> scores = SegmentationScores(num_classes=2)
        >>> scores.update_state([[0, 0, 1, 255]], [[0, 1, 1, 1]])
        >>> round(float(scores.result()["mIoU"]), 1)
        50.0
    """

    result_names = ("mIoU", "mAcc", "pixel_accuracy")

    def __init__(self, num_classes, ignore_label=255, name="scores", **kwargs):
        super().__init__(name=name, **kwargs)
        self.num_classes = num_classes
        self.ignore_label = ignore_label
        entries = (num_classes**2,)
        self._low, self._high = (
            self.add_weight(
                shape=entries, initializer="zeros", dtype="int32", name=name
            )
            for name in ("low", "high")
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add the pixels of a batch to the confusion matrix.

        Args:
            y_true: Int mask of any shape, ids in `[0, num_classes)` or
                `ignore_label`; other ids are ignored, too.
            y_pred: Int mask of the same shape, ids in `[0, num_classes)`.
            sample_weight: Must be None: all pixels have the same weight.

        Raises:
            ValueError: If `sample_weight` is given.
        """
        if sample_weight is not None:
            raise ValueError(
                "`sample_weight` must be None, since all pixels have the same "
                "weight. Set pixels to the ignore label to exclude them. "
                f"Received: sample_weight={sample_weight}"
            )
        classes = self.num_classes
        true = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        predicted = ops.cast(ops.reshape(y_pred, (-1,)), "int32")
        counted = (true >= 0) & (true < classes) & (true != self.ignore_label)
        # Ignored pixels are counted in an additional entry, which is dropped.
        entry = ops.where(counted, true * classes + predicted, classes**2)
        counts = ops.segment_sum(
            ops.ones_like(entry), entry, num_segments=classes**2 + 1
        )
        run_on_one_replica(self._add, counts[:-1])

    def _add(self, counts):
        low = self._low + counts
        self._high.assign(self._high + low // _BASE)
        self._low.assign(low % _BASE)

    def result(self):
        high = ops.cast(self._high, "float32") * _BASE
        matrix = ops.reshape(
            high + ops.cast(self._low, "float32"), (self.num_classes,) * 2
        )
        hits, true = ops.diagonal(matrix), ops.sum(matrix, axis=1)
        union = true + ops.sum(matrix, axis=0) - hits
        return {
            "mIoU": 100.0 * _mean_ratio(hits, union),
            "mAcc": 100.0 * _mean_ratio(hits, true),
            "pixel_accuracy": 100.0
            * ops.sum(hits)
            / ops.maximum(ops.sum(true), 1.0),
        }

    def confusion(self):
        """Return the confusion matrix, int64 `(num_classes, num_classes)`.

        Rows are true classes, columns are predicted ones.
        """
        low = ops.convert_to_numpy(self._low).astype("int64")
        high = ops.convert_to_numpy(self._high).astype("int64")
        return (high * _BASE + low).reshape((self.num_classes,) * 2)

    def class_iou(self):
        """Return the IoU per class in percent, see the function `class_iou`."""
        return class_iou(self.confusion())

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "ignore_label": self.ignore_label,
        }


def confusion_matrix(truth, predicted, num_classes):
    """Compute the confusion matrix of NumPy masks.

    Args:
        truth: Int array of any shape; ids outside `[0, num_classes)` are
            ignored.
        predicted: Int array of the same shape. Ids outside `[0, num_classes)`
            are none of the classes, hence wrong unless the truth is ignored.
        num_classes: Number of classes K.

    Returns:
        Int64 array `(num_classes, num_classes + 1)`: rows are true classes,
        columns are predicted ones; the last column is none of the classes.

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> confusion_matrix([0, 0, 1, 255], [0, 1, 255, 1], num_classes=2)
        array([[1, 1, 0],
               [0, 0, 1]])
    """
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if truth.shape != predicted.shape:
        raise ValueError(
            "`predicted` must have the same shape as `truth`. Received: "
            f"predicted.shape={predicted.shape}, truth.shape={truth.shape}"
        )
    # Int64 holds negative ids as well as the indices of all entries.
    truth, predicted = truth.astype("int64"), predicted.astype("int64")
    is_class = (predicted >= 0) & (predicted < num_classes)
    entries = truth * (num_classes + 1) + np.where(
        is_class, predicted, num_classes
    )
    entries = entries[(truth >= 0) & (truth < num_classes)]
    shape = (num_classes, num_classes + 1)
    return np.bincount(entries, minlength=shape[0] * shape[1]).reshape(shape)


def class_iou(confusion):
    """Compute the intersection over union of each class.

    Args:
        confusion: Confusion matrix `(num_classes, num_classes)`, rows are true
            and columns predicted classes, or with one more column of pixels
            that are predicted as none of the classes.

    Returns:
        Float64 array `(num_classes,)` in percent: NaN for a class that occurs
        neither in the truth nor in the predictions, 0 for one that occurs in
        only one of them.
    """
    hits, true, predicted = _margins(confusion)
    return _percent(hits, true + predicted - hits)


def class_accuracy(confusion):
    """Compute the accuracy of each class: its recall.

    Args:
        confusion: As for `class_iou`.

    Returns:
        Float64 array `(num_classes,)` in percent, NaN for a class that does
        not occur in the truth.
    """
    hits, true, _ = _margins(confusion)
    return _percent(hits, true)


def pixel_accuracy(confusion):
    """Compute the percentage of correct pixels.

    Args:
        confusion: As for `class_iou`.

    Returns:
        A float, 0 without pixels.
    """
    hits, true, _ = _margins(confusion)
    return float(100 * hits.sum() / max(true.sum(), 1))


def mean_iou(confusion):
    """Compute the mean intersection over union, mIoU.

    Args:
        confusion: As for `class_iou`.

    Returns:
        A float in percent: the mean over the classes that occur in the truth
        or the predictions, 0 if none does.

    Example:
        >>> mean_iou([[1, 1, 0], [0, 2, 0], [0, 0, 0]]).__round__(2)
        58.33
    """
    return mean_of_present(class_iou(confusion))


def mean_of_present(values):
    """Return the mean of the entries that are not NaN; 0 if all are."""
    present = np.asarray(values)[~np.isnan(values)]
    return float(present.mean()) if len(present) else 0.0


def harmonic_mean(values):
    """Return the harmonic mean of scores, which low scores dominate.

    Args:
        values: Non-empty sequence of non-negative floats.

    Returns:
        A float, 0 if one of the scores is 0.

    Raises:
        ValueError: If the sequence is empty, or a score is negative or NaN.

    Example:
        >>> harmonic_mean([20.0, 60.0])
        30.0
    """
    values = np.asarray(values, "float64")
    if not values.size or not (values >= 0).all():
        raise ValueError(
            "`values` must be at least one score, and none below 0. "
            f"Received: values={values.tolist()}"
        )
    return float(len(values) / (1 / values).sum()) if values.all() else 0.0


def _margins(confusion):
    """Return the correct, true and predicted pixels per class, float64."""
    confusion = np.asarray(confusion, "float64")
    hits, true = np.diagonal(confusion), confusion.sum(axis=1)
    return hits, true, confusion.sum(axis=0)[: len(true)]


def _percent(hits, total):
    """Return `100 * hits / total`, NaN where `total` is 0."""
    nans = np.full(len(hits), np.nan)
    return 100 * np.divide(hits, total, out=nans, where=total > 0)


def _mean_ratio(hits, total):
    """Return the mean of `hits / total` over classes with nonzero `total`."""
    present = ops.cast(total > 0, "float32")
    ratios = hits / ops.maximum(total, 1.0)
    return ops.sum(ratios * present) / ops.maximum(ops.sum(present), 1.0)
