"""Scores of a segmentation, counted exactly and fast on every backend."""

import keras
import numpy as np
from keras import ops

from gss_keras.distribution.backend import run_for_one_part

# Two int32 counters a cell: the lower one hands over to the upper one
# before it can overflow. Float32 would stop counting at 2 ** 24 pixels.
_CARRY = 2**20


@keras.saving.register_keras_serializable(package="gss_keras")
class SegmentationScores(keras.metrics.Metric):
    """Count which class was taken for which, over all pixels of all photos.

    `result()` gives three scores in percent: `mIoU`, the mean over classes of
    intersection over union; `mAcc`, the mean over classes of the share of
    its pixels that were found; `pixel_accuracy`, the share of all pixels.
    A class that occurs neither in truth nor in prediction counts for no
    mean, a class without truth not for `mAcc`.

    Args:
        num_classes: Number of classes K.
        ignore_label: Id in the true mask that is not counted.
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
        cells = (num_classes**2,)
        self._low, self._high = (
            self.add_weight(
                shape=cells, initializer="zeros", dtype="int32", name=name
            )
            for name in ("low", "high")
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add the pixels of one batch.

        Args:
            y_true: Int mask of any shape, ids in `[0, num_classes)` or
                `ignore_label`; any other id is not counted either.
            y_pred: Int mask of the same shape, ids in `[0, num_classes)`.
            sample_weight: Must be None: pixels count alike.

        Raises:
            ValueError: If `sample_weight` is given.
        """
        if sample_weight is not None:
            raise ValueError(
                "`sample_weight` must be None, pixels count alike. Mark "
                "pixels to leave out with the ignore label instead. "
                f"Received: sample_weight={sample_weight}"
            )
        classes = self.num_classes
        true = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        predicted = ops.cast(ops.reshape(y_pred, (-1,)), "int32")
        counted = (true >= 0) & (true < classes) & (true != self.ignore_label)
        # Pixels that do not count go to one cell more, which is cut off.
        cell = ops.where(counted, true * classes + predicted, classes**2)
        counts = ops.segment_sum(
            ops.ones_like(cell), cell, num_segments=classes**2 + 1
        )
        run_for_one_part(self._add, counts[:-1])

    def _add(self, counts):
        low = self._low + counts
        self._high.assign(self._high + low // _CARRY)
        self._low.assign(low % _CARRY)

    def result(self):
        high = ops.cast(self._high, "float32") * _CARRY
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
        """Return the counts, int64 `(num_classes, num_classes)`.

        Rows are true classes, columns predicted ones.
        """
        low = ops.convert_to_numpy(self._low).astype("int64")
        high = ops.convert_to_numpy(self._high).astype("int64")
        return (high * _CARRY + low).reshape((self.num_classes,) * 2)

    def class_iou(self):
        """Return IoU per class in percent, see the function `class_iou`."""
        return class_iou(self.confusion())

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "ignore_label": self.ignore_label,
        }


def confusion_matrix(truth, predicted, num_classes):
    """Count which class was taken for which, of masks in NumPy.

    Args:
        truth: Int array of any shape; only ids in `[0, num_classes)` count.
        predicted: Int array of the same shape. Any id outside
            `[0, num_classes)` is none of the classes, which is wrong
            wherever the truth counts.
        num_classes: Number of classes K.

    Returns:
        Int64 array `(num_classes, num_classes + 1)`: rows are true classes,
        columns predicted ones, the last column is none of them.

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
            "`predicted` must have the shape of `truth`. Received: "
            f"predicted.shape={predicted.shape}, truth.shape={truth.shape}"
        )
    # Of a kind that holds both negative ids and the cells' numbers.
    truth, predicted = truth.astype("int64"), predicted.astype("int64")
    is_class = (predicted >= 0) & (predicted < num_classes)
    cells = truth * (num_classes + 1) + np.where(
        is_class, predicted, num_classes
    )
    cells = cells[(truth >= 0) & (truth < num_classes)]
    shape = (num_classes, num_classes + 1)
    return np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape)


def class_iou(confusion):
    """Divide intersection by union, class by class.

    Args:
        confusion: Array of counts `(num_classes, num_classes)`, rows true and
            columns predicted classes, or with one column more of pixels that
            were taken for none of the classes.

    Returns:
        Float64 array `(num_classes,)` in percent, NaN for a class that occurs
        neither in truth nor in prediction, 0 for one that occurs in only one
        of them.
    """
    hits, true, predicted = _margins(confusion)
    return _percent(hits, true + predicted - hits)


def class_accuracy(confusion):
    """Return the share of each class's pixels that were found.

    Args:
        confusion: As for `class_iou`.

    Returns:
        Float64 array `(num_classes,)` in percent, NaN for a class without
        truth.
    """
    hits, true, _ = _margins(confusion)
    return _percent(hits, true)


def pixel_accuracy(confusion):
    """Return the share of all pixels that are right, in percent."""
    hits, true, _ = _margins(confusion)
    return float(100 * hits.sum() / max(true.sum(), 1))


def mean_iou(confusion):
    """Average IoU over the classes that occur, a float in percent.

    Args:
        confusion: As for `class_iou`.

    Returns:
        The mean over the classes that occur in truth or prediction; 0 where
        none does.

    Example:
        >>> mean_iou([[1, 1, 0], [0, 2, 0], [0, 0, 0]]).__round__(2)
        58.33
    """
    return mean_of_present(class_iou(confusion))


def mean_of_present(values):
    """Average the entries that are not NaN; 0 where all are."""
    present = np.asarray(values)[~np.isnan(values)]
    return float(present.mean()) if len(present) else 0.0


def harmonic_mean(values):
    """Average scores such that the worst weighs most.

    Args:
        values: Non-empty sequence of floats of at least 0.

    Returns:
        A float, 0 if one of the scores is.

    Raises:
        ValueError: If there is none, or one is negative or NaN.

    Example:
        >>> harmonic_mean([20.0, 60.0])
        30.0
    """
    values = np.asarray(values, "float64")
    if not values.size or not (values >= 0).all():
        raise ValueError(
            "`values` must be scores of at least 0, and at least one. "
            f"Received: values={values.tolist()}"
        )
    return float(len(values) / (1 / values).sum()) if values.all() else 0.0


def _margins(confusion):
    """Return hits, true and predicted pixels of each class, float64."""
    confusion = np.asarray(confusion, "float64")
    hits, true = np.diagonal(confusion), confusion.sum(axis=1)
    return hits, true, confusion.sum(axis=0)[: len(true)]


def _percent(part, whole):
    """Return `100 * part / whole`, NaN where `whole` is 0."""
    blank = np.full(len(part), np.nan)
    return 100 * np.divide(part, whole, out=blank, where=whole > 0)


def _mean_ratio(part, whole):
    """Average `part / whole` over the classes whose `whole` is not 0."""
    present = ops.cast(whole > 0, "float32")
    ratios = part / ops.maximum(whole, 1.0)
    return ops.sum(ratios * present) / ops.maximum(ops.sum(present), 1.0)
