"""Scores of a segmentation, counted exactly and fast on every backend."""

import keras
import numpy as np
from keras import ops

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
        low = self._low + counts[:-1]
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
        """Return IoU per class in percent, float64, NaN where it is absent."""
        matrix = self.confusion().astype("float64")
        hits = np.diagonal(matrix)
        union = matrix.sum(axis=0) + matrix.sum(axis=1) - hits
        return 100.0 * np.divide(
            hits, union, out=np.full(len(hits), np.nan), where=union > 0
        )

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "ignore_label": self.ignore_label,
        }


def _mean_ratio(part, whole):
    """Average `part / whole` over the classes whose `whole` is not 0."""
    present = ops.cast(whole > 0, "float32")
    ratios = part / ops.maximum(whole, 1.0)
    return ops.sum(ratios * present) / ops.maximum(ops.sum(present), 1.0)
