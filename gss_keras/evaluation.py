"""Evaluate a segmenter photo by photo, and write down what came out."""

import csv
import functools
import json
import math
import pathlib

import numpy as np

from gss_keras import visualize
from gss_keras.data import mseg
from gss_keras.metrics import (
    class_accuracy,
    class_iou,
    confusion_matrix,
    harmonic_mean,
    mean_of_present,
    pixel_accuracy,
)
from gss_keras.views import Views

_OVERALL = ("mIoU", "mAcc", "pixel_accuracy")
_HEADER = ("class", "IoU", "accuracy", "share of pixels")


def evaluate(
    segmenter,
    source,
    views=None,
    window=None,
    stride=None,
    limit=None,
    on_prediction=None,
    **maps,
):
    """Score a segmenter on photos of any sizes.

    One photo after another is read, segmented and counted, so memory holds
    one of them. Classes are averaged over all pixels of all photos, as the
    benchmarks do, and not photo by photo.

    Args:
        segmenter: A `GenerativeSegmenter`.
        source: A source such as `gss_keras.data.load` gives.
        views: A `gss_keras.views.Views`: the sizes in which photos are
            scored; by default as they are.
        window: As for `GenerativeSegmenter.predict`.
        stride: As for `GenerativeSegmenter.predict`.
        limit: Number of photos to evaluate, evenly spread over the source; by
            default all.
        on_prediction: Function that is called with each record of the source
            and its predicted mask, int32 `(height, width)`.
        **maps: How predicted classes become those of the source, where they
            are not the same: `map_mask`, a function from and to int masks, or
            `map_probabilities`, see `Views.predict_mask`.

    Returns:
        A dict: `"mIoU"`, `"mAcc"` and `"pixel_accuracy"`, floats in percent;
        `"photos"`, their number; `"classes"`, the names; `"class_iou"` and
        `"class_accuracy"`, float64 arrays `(num_classes,)` in percent, NaN
        where a class does not occur, see `gss_keras.metrics`; `"confusion"`,
        int64 array `(num_classes, num_classes + 1)`, rows true and columns
        predicted classes, the last one none of them.

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
    indices = np.arange(len(source))
    if limit is not None and limit < len(source):
        indices = np.linspace(0, len(source) - 1, limit).round().astype(int)
    for index in indices.tolist():
        record = source[index]
        mask = predict(record["photo"])
        confusion += confusion_matrix(record["mask"], mask, count)
        if on_prediction is not None:
            on_prediction(record, mask)
    return scores_of(confusion, source.classes) | {"photos": len(indices)}


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


def mseg_maps(test_set, of_probabilities=False):
    """Say how universal classes become those of a test set of MSeg.

    Args:
        test_set: One of `gss_keras.data.mseg.TEST_SETS`.
        of_probabilities: Whether probabilities are added up before the
            likeliest class is taken. The published scores map the likeliest
            universal class instead.

    Returns:
        A dict of the `maps` that `evaluate` takes.
    """
    if of_probabilities:
        function = mseg.map_probabilities
        return {
            "map_probabilities": functools.partial(function, test_set=test_set)
        }
    function = mseg.map_predictions
    return {"map_mask": functools.partial(function, test_set=test_set)}


def mseg_mean(scores):
    """Return the harmonic mean of the mIoUs of several evaluations.

    Args:
        scores: Dict from the name of a test set to what `evaluate` returned.

    Returns:
        A float in percent, 0 if one of them is.
    """
    return harmonic_mean([score["mIoU"] for score in scores.values()])


def table(scores):
    """Return the scores of each class and of all as a Markdown table.

    Args:
        scores: What `evaluate` returned.

    Returns:
        A string of lines. "-" stands where a class does not occur.

    Example:
        >>> print(table(scores_of([[3, 1, 0], [0, 4, 0]], ["sky", "road"])))
        | class | IoU | accuracy | share of pixels |
        |---|---|---|---|
        | sky | 75.00 | 75.00 | 50.00 |
        | road | 80.00 | 100.00 | 50.00 |
        | **mean** | **77.50** | **87.50** | |
    """
    lines = [
        "| class | IoU | accuracy | share of pixels |",
        "|---|---|---|---|",
    ]
    for name, *values in _rows(scores):
        cells = ["-" if v is None else f"{v:.2f}" for v in values]
        lines.append(f"| {' | '.join([name, *cells])} |")
    means = f"**{scores['mIoU']:.2f}** | **{scores['mAcc']:.2f}**"
    return "\n".join([*lines, f"| **mean** | {means} | |"])


def write(scores, folder):
    """Write everything that an evaluation found into a folder.

    `scores.json` holds the scores, overall and by class, with null where a
    class does not occur; `classes.csv` the same as a table; `confusion.csv`
    the counts; `confusion.png` and `iou.png` show them.

    Args:
        scores: What `evaluate` returned.
        folder: Path of a folder, which is made.

    Raises:
        OSError: If a file cannot be written.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names, confusion = scores["classes"], scores["confusion"]
    text = json.dumps(as_json(scores), indent=1, allow_nan=False)
    (folder / "scores.json").write_text(text + "\n")
    _write_csv(folder / "classes.csv", [_HEADER, *_rows(scores)])
    rows = [
        [name, *row]
        for name, row in zip(names, confusion.tolist(), strict=True)
    ]
    header = ["true class", *names, "none of them"]
    _write_csv(folder / "confusion.csv", [header, *rows])
    for name, picture in (
        ("confusion.png", visualize.confusion_matrix(confusion, names)),
        ("iou.png", visualize.iou_bars(scores["class_iou"], names)),
    ):
        visualize.save(picture, folder / name)


def as_json(scores):
    """Return scores as what JSON knows, with None in place of NaN.

    Args:
        scores: What `evaluate` returned.

    Returns:
        A dict of the overall scores, the number of `"photos"` where it is
        known, and `"classes"`, a list of dicts of each class's `"name"`,
        `"IoU"`, `"accuracy"` and `"share"` of all labeled pixels, in percent.
    """
    keys = ("name", "IoU", "accuracy", "share")
    found = {key: scores[key] for key in (*_OVERALL, "photos") if key in scores}
    rows = _rows(scores)
    return found | {"classes": [dict(zip(keys, r, strict=True)) for r in rows]}


def _rows(scores):
    """Return name, IoU, accuracy and share of each class; None for NaN."""
    pixels = scores["confusion"].sum(axis=1)
    shares = 100 * pixels / max(pixels.sum(), 1)
    numbers = zip(
        scores["class_iou"].tolist(),
        scores["class_accuracy"].tolist(),
        shares.tolist(),
        strict=True,
    )
    return [
        [name, *(None if math.isnan(value) else value for value in values)]
        for name, values in zip(scores["classes"], numbers, strict=True)
    ]


def _write_csv(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def _check_classes(segmenter, source):
    known = segmenter.posterior.num_classes
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
