"""Write down what an evaluation found: tables, numbers and pictures."""

import csv
import json
import math
import pathlib

from gss_keras import visualize

_OVERALL = ("mIoU", "mAcc", "pixel_accuracy")
_HEADER = ("class", "IoU", "accuracy", "share of pixels")


def table(scores):
    """Return the scores of each class and of all as a Markdown table.

    Args:
        scores: What `evaluate` returned.

    Returns:
        A string of lines. "-" stands where a class does not occur.

    Example:
        >>> from gss_keras.evaluation import scores_of
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
        A dict of the overall scores, `"boundary_F"` and the number of
        `"photos"` where they are known, and `"classes"`, a list of dicts of
        each class's `"name"`, `"IoU"`, `"accuracy"` and `"share"` of all
        labeled pixels, in percent.
    """
    keys = ("name", "IoU", "accuracy", "share")
    overall = (*_OVERALL, "boundary_F", "photos")
    found = {key: scores[key] for key in overall if key in scores}
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
