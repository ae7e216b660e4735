"""Evaluation loop: score a segmenter photo by photo."""

import functools
import sys

import keras
import numpy as np

from gss_keras.evaluation.boundaries import BoundaryScore
from gss_keras.inference.views import Views
from gss_keras.models.metrics import (
    class_accuracy,
    class_iou,
    confusion_matrix,
    mean_of_present,
    pixel_accuracy,
)


def evaluate(
    segmenter,
    source,
    views=None,
    window=None,
    stride=None,
    limit=None,
    on_prediction=None,
    with_boundaries=False,
    verbose=0,
    **maps,
):
    """Evaluate a segmenter on photos of any size.

    Photos are read and segmented one at a time, so only one of them is in
    memory. As in the benchmarks, scores are computed from one confusion matrix
    over all pixels of all photos, not averaged over photos.

    Args:
        segmenter: A `GenerativeSegmenter` or `DiscriminativeSegmenter`.
        source: A source, such as the return value of `gss_keras.data.load`.
        views: A `gss_keras.views.Views` for test-time resizing and
            augmentation. By default, photos keep their size.
        window: See `GenerativeSegmenter.predict`.
        stride: See `GenerativeSegmenter.predict`.
        limit: Number of photos to evaluate, evenly spaced over the source.
            Defaults to all.
        on_prediction: Callback, called with each record of the source and its
            predicted mask, int32 `(height, width)`.
        with_boundaries: Whether to compute the boundary F-score, see
            `BoundaryScore`. It takes some tens of milliseconds per photo.
        verbose: 1 shows a progress bar.
        **maps: Mapping from the predicted classes to those of the source, if
            they differ: `map_mask`, a function from int mask to int mask, or
            `map_probabilities`, see `Views.predict_mask`.

    Returns:
        A dict: `"mIoU"`, `"mAcc"` and `"pixel_accuracy"`, floats in percent;
        `"photos"`, the number of photos; `"classes"`, the class names;
        `"class_iou"` and `"class_accuracy"`, float64 arrays `(num_classes,)`
        in percent, NaN for absent classes, see `gss_keras.metrics`;
        `"confusion"`, the confusion matrix, int64
        `(num_classes, num_classes + 1)`, with true classes in rows, predicted
        classes in columns, and predictions of no class in the last column;
        `"boundary_F"`, a float in percent, if requested.

    Raises:
        ValueError: If source and segmenter differ in their number of classes
            and no mapping is given, or if a record cannot be read.
    """
    if not maps:
        _check_classes(segmenter, source)
    predict = _predictor(segmenter, views, window, stride, **maps)
    count = source.num_classes
    confusion = np.zeros((count, count + 1), "int64")
    boundaries = BoundaryScore(count) if with_boundaries else None
    indices = np.arange(len(source))
    if limit is not None and limit < len(source):
        indices = np.linspace(0, len(source) - 1, limit).round().astype(int)
    # Without a terminal, every update of the bar is a new line.
    interval = 0.5 if sys.stdout.isatty() else 60
    progress = keras.utils.Progbar(
        len(indices), verbose=verbose, interval=interval, unit_name="photo"
    )
    for index in indices.tolist():
        record = source[index]
        mask = predict(record["photo"])
        confusion += confusion_matrix(record["mask"], mask, count)
        if boundaries is not None:
            boundaries.add(record["mask"], mask)
        if on_prediction is not None:
            on_prediction(record, mask)
        progress.add(1)
    scores = scores_of(confusion, source.classes) | {"photos": len(indices)}
    return scores | ({"boundary_F": boundaries.result()} if boundaries else {})


def scores_of(confusion, classes):
    """Compute the scores of a confusion matrix.

    Args:
        confusion: Int array `(num_classes, num_classes + 1)`.
        classes: The class names.

    Returns:
        The dict that `evaluate` returns, without `"photos"` and
        `"boundary_F"`.
    """
    iou, accuracy = class_iou(confusion), class_accuracy(confusion)
    return {
        "mIoU": mean_of_present(iou),
        "mAcc": mean_of_present(accuracy),
        "pixel_accuracy": pixel_accuracy(confusion),
        "classes": tuple(classes),
        "class_iou": iou,
        "class_accuracy": accuracy,
        "confusion": np.asarray(confusion),
    }


def _check_classes(segmenter, source):
    expected = segmenter.num_classes
    if expected != source.num_classes:
        raise ValueError(
            "`source` must have the classes of the segmenter. Train or "
            "convert a segmenter for this data set, or map its predictions "
            f"with `map_mask`. Received: {source.num_classes} classes, "
            f"{', '.join(source.classes[:3])} ..., for a segmenter with "
            f"{expected} classes"
        )


def _predictor(
    segmenter, views, window, stride, map_mask=None, map_probabilities=None
):
    """Return a function from a photo to a mask with the source's classes."""
    sliding = {"window": window, "stride": stride}
    if map_probabilities is not None:
        score = functools.partial(segmenter.predict_logits, **sliding)
        return functools.partial(
            (views or Views()).predict_mask,
            score,
            map_probabilities=map_probabilities,
        )
    predict = functools.partial(segmenter.predict, views=views, **sliding)
    if map_mask is None:
        return predict
    return lambda photo: map_mask(predict(photo))
