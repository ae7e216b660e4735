"""Report evaluation results as tables, JSON, CSV and charts."""

import csv
import json
import math
import pathlib

from gss_keras import visualize

_OVERALL = ("mIoU", "mAcc", "pixel_accuracy")
_HEADER = ("class", "IoU", "accuracy", "pixels (%)")


def table(scores):
    """Format the scores per class and their means as a Markdown table.

    Args:
        scores: Return value of `evaluate`.

    Returns:
        A multi-line string, with "-" for scores of absent classes.

    Example:
        >>> from gss_keras.evaluation import scores_of
        >>> print(table(scores_of([[3, 1, 0], [0, 4, 0]], ["sky", "road"])))
        | class | IoU | accuracy | pixels (%) |
        |---|---|---|---|
        | sky | 75.00 | 75.00 | 50.00 |
        | road | 80.00 | 100.00 | 50.00 |
        | **mean** | **77.50** | **87.50** | |
    """
    lines = [f"| {' | '.join(_HEADER)} |", "|---|---|---|---|"]
    for name, *values in _rows(scores):
        cells = ["-" if v is None else f"{v:.2f}" for v in values]
        lines.append(f"| {' | '.join([name, *cells])} |")
    means = f"**{scores['mIoU']:.2f}** | **{scores['mAcc']:.2f}**"
    return "\n".join([*lines, f"| **mean** | {means} | |"])


def write(scores, folder):
    """Write all evaluation results to a folder.

    `scores.json` contains the overall and per-class scores, with null for
    absent classes; `classes.csv` the per-class scores; `confusion.csv` the
    confusion matrix. `confusion.png` and `iou.png` are charts.

    Args:
        scores: Return value of `evaluate`.
        folder: Path of the folder to write; created if missing.

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
    header = ["true class", *names, "(none)"]
    _write_csv(folder / "confusion.csv", [header, *rows])
    for name, image in (
        ("confusion.png", visualize.confusion_matrix(confusion, names)),
        ("iou.png", visualize.iou_bars(scores["class_iou"], names)),
    ):
        visualize.save(image, folder / name)


def as_json(scores):
    """Convert scores to JSON-serializable values, with None for NaN.

    Args:
        scores: Return value of `evaluate`.

    Returns:
        A dict of the overall scores, `"boundary_F"` and the number of
        `"photos"` if available, and `"classes"`, a list of dicts of each
        class's `"name"`, `"IoU"`, `"accuracy"` and `"share"`, its percentage
        of all labeled pixels.
    """
    keys = ("name", "IoU", "accuracy", "share")
    overall_keys = (*_OVERALL, "boundary_F", "photos")
    overall = {key: scores[key] for key in overall_keys if key in scores}
    classes = [dict(zip(keys, row, strict=True)) for row in _rows(scores)]
    return overall | {"classes": classes}


def _rows(scores):
    """Return one row per class: name, IoU, accuracy, percentage of pixels.

    NaN becomes None.
    """
    pixels = scores["confusion"].sum(axis=1)
    percentages = 100 * pixels / max(pixels.sum(), 1)
    columns = zip(
        scores["class_iou"].tolist(),
        scores["class_accuracy"].tolist(),
        percentages.tolist(),
        strict=True,
    )
    return [
        [name, *(None if math.isnan(value) else value for value in values)]
        for name, values in zip(scores["classes"], columns, strict=True)
    ]


def _write_csv(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
