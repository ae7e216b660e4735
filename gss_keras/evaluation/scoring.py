"""Score a segmenter photo by photo."""

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
    """Score a segmenter on photos of any sizes.

    One photo after another is read, segmented and counted, so memory holds
    one of them. Classes are averaged over all pixels of all photos, as the
    benchmarks do, and not photo by photo.

    Args:
        segmenter: A `GenerativeSegmenter` or `DiscriminativeSegmenter`.
        source: A source such as `gss_keras.data.load` gives.
        views: A `gss_keras.views.Views`: the sizes in which photos are
            scored; by default as they are.
        window: As for `GenerativeSegmenter.predict`.
        stride: As for `GenerativeSegmenter.predict`.
        limit: Number of photos to evaluate, evenly spread over the source; by
            default all.
        on_prediction: Function that is called with each record of the source
            and its predicted mask, int32 `(height, width)`.
        with_boundaries: Whether the outlines are scored too, see
            `BoundaryScore`; takes some tens of milliseconds a photo.
        verbose: 1 shows a progress bar.
        **maps: How predicted classes become those of the source, where they
            are not the same: `map_mask`, a function from and to int masks, or
            `map_probabilities`, see `Views.predict_mask`.

    Returns:
        A dict: `"mIoU"`, `"mAcc"` and `"pixel_accuracy"`, floats in percent;
        `"photos"`, their number; `"classes"`, the names; `"class_iou"` and
        `"class_accuracy"`, float64 arrays `(num_classes,)` in percent, NaN
        where a class does not occur, see `gss_keras.metrics`; `"confusion"`,
        int64 array `(num_classes, num_classes + 1)`, rows true and columns
        predicted classes, the last one none of them; `"boundary_F"`, a float
        in percent, where asked for.

    Raises:
        ValueError: If the source has another number of classes than the
            segmenter and nothing says how they are mapped, or as reading its
            records does.
    """
    if not maps:
        _check_classes(segmenter, source)
    predict = _predictor(segmenter, views, window, stride, **maps)
    count = source.num_classes
    confusion = np.zeros((count, count + 1), "int64")
    outlines = BoundaryScore(count) if with_boundaries else None
    indices = np.arange(len(source))
    if limit is not None and limit < len(source):
        indices = np.linspace(0, len(source) - 1, limit).round().astype(int)
    # Where a bar cannot move, each of its states is a line.
    interval = 0.5 if sys.stdout.isatty() else 60
    progress = keras.utils.Progbar(
        len(indices), verbose=verbose, interval=interval, unit_name="photo"
    )
    for index in indices.tolist():
        record = source[index]
        mask = predict(record["photo"])
        confusion += confusion_matrix(record["mask"], mask, count)
        if outlines is not None:
            outlines.add(record["mask"], mask)
        if on_prediction is not None:
            on_prediction(record, mask)
        progress.add(1)
    scores = scores_of(confusion, source.classes) | {"photos": len(indices)}
    return scores | ({"boundary_F": outlines.result()} if outlines else {})


def scores_of(confusion, classes):
    """Return the scores that counts give, see `evaluate`.

    Args:
        confusion: Int array `(num_classes, num_classes + 1)`.
        classes: The class names.

    Returns:
        A dict as of `evaluate`, without the number of photos.
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
    known = segmenter.num_classes
    if known != source.num_classes:
        raise ValueError(
            "`source` must have the classes of the segmenter. Train or "
            "convert one for this data set, or say with `map_mask` which "
            f"class becomes which. Received: {source.num_classes} classes, "
            f"{', '.join(source.classes[:3])} ..., for a segmenter of {known}"
        )


def _predictor(
    segmenter, views, window, stride, map_mask=None, map_probabilities=None
):
    """Return a function from a photo to its mask, in the source's classes."""
    where = {"window": window, "stride": stride}
    if map_probabilities is not None:
        score = functools.partial(segmenter.predict_logits, **where)
        return functools.partial(
            (views or Views()).predict_mask,
            score,
            map_probabilities=map_probabilities,
        )
    predict = functools.partial(segmenter.predict, views=views, **where)
    if map_mask is None:
        return predict
    return lambda photo: map_mask(predict(photo))
