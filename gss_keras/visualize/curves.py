"""Draw how a training went."""

import csv
import pathlib

from gss_keras.visualize.drawing import as_picture, chart

_LOSS = "loss"
# The one score that trainings write as a share of 1.
_SHARE = "token_accuracy"
_VALIDATED = "val_"
_COLORS = ["#1d4e89", "#e07a1f", "#2a9d6f", "#c1292e", "#7b4fa3", "#6b6b6b"]


def training_curves(curves):
    """Show the losses and validated scores of trainings over their steps.

    Args:
        curves: Path of a `curve.csv` as trainings write it, or of the folder
            that holds it, or a dict of such paths from names, to compare
            trainings.

    Returns:
        Uint8 array of shape `(height, width, 3)`, RGB 0-255.

    Raises:
        ValueError: If a file is missing, is no curve or has no line yet.
    """
    if not isinstance(curves, dict):
        curves = {"": curves}
    read = {name: _read(path) for name, path in curves.items()}
    columns = dict.fromkeys(key for rows in read.values() for key in rows)
    losses = [name for name in columns if name.endswith(_LOSS)]
    scores = [name for name in columns if name.startswith(_VALIDATED)]
    others = [
        name for name in columns if name not in (*losses, *scores, "step")
    ]
    groups = [("loss", losses), ("validation, percent", scores)]
    groups.append(("training, percent", others))
    groups = [(title, names) for title, names in groups if names]
    with chart(430 * max(len(groups), 1), 330) as figure:
        panels = figure.subplots(1, len(groups), squeeze=False)[0]
        for axes, (title, names) in zip(panels, groups, strict=True):
            _draw(axes, read, names)
            axes.set_title(title)
            axes.set_xlabel("step")
            axes.grid(True)
            axes.legend(frameon=False, fontsize=9)
        return as_picture(figure)


def _draw(axes, read, names):
    """Draw columns: one color for each, one kind of line for each training."""
    kinds = ["-", "--", ":", "-."]
    for index, (training, rows) in enumerate(read.items()):
        for number, name in enumerate(names):
            points = rows.get(name)
            if not points:
                continue
            short = name.removeprefix(_VALIDATED).replace("_", " ")
            label = f"{training}: {short}" if training else short
            # Few validations are points to see, thousands of rounds a line.
            marker = "o" if len(points) < 30 else None
            axes.plot(
                *zip(*points, strict=True),
                kinds[index % len(kinds)],
                color=_COLORS[number % len(_COLORS)],
                label=label, linewidth=1.6, marker=marker, markersize=3,
            )  # fmt: skip


def _read(path):
    """Return the points of each column: lists of pairs (step, value)."""
    path = pathlib.Path(path)
    path = path / "curve.csv" if path.is_dir() else path
    points = {}
    try:
        with open(path, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                step = int(row.pop("step"))
                for name, value in row.items():
                    if value:
                        scale = 100 if name == _SHARE else 1
                        point = (step, scale * float(value))
                        points.setdefault(name, []).append(point)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            "`curves` must be a `curve.csv` that a training wrote, or its "
            f"folder. Received: {path} ({error!r})"
        ) from error
    if not points:
        raise ValueError(
            "`curves` must have at least one line; the first is written after "
            f"the first round. Received: {path}"
        )
    return points
