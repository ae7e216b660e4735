"""Plot training curves."""

import csv
import pathlib

from gss_keras.visualize.drawing import as_image, chart

_LOSS = "loss"
# The only score that is logged as a fraction instead of a percentage.
_FRACTION = "token_accuracy"
_VALIDATION = "val_"
_COLORS = ["#1d4e89", "#e07a1f", "#2a9d6f", "#c1292e", "#7b4fa3", "#6b6b6b"]


def training_curves(curves):
    """Plot losses and scores of training runs over the steps.

    Args:
        curves: Path of the `curve.csv` of a training run or of its folder. To
            compare runs, a dict from their names to such paths.

    Returns:
        Uint8 array of shape `(height, width, 3)`, RGB 0-255.

    Raises:
        ValueError: If a file is missing, is not a training curve or has no
            data yet.
    """
    if not isinstance(curves, dict):
        curves = {"": curves}
    runs = {name: _read(path) for name, path in curves.items()}
    columns = dict.fromkeys(key for points in runs.values() for key in points)
    losses = [name for name in columns if name.endswith(_LOSS)]
    scores = [name for name in columns if name.startswith(_VALIDATION)]
    others = [
        name for name in columns if name not in (*losses, *scores, "step")
    ]
    groups = [("loss", losses), ("validation (%)", scores)]
    groups.append(("training (%)", others))
    groups = [(title, names) for title, names in groups if names]
    with chart(430 * max(len(groups), 1), 330) as figure:
        panels = figure.subplots(1, len(groups), squeeze=False)[0]
        for axes, (title, names) in zip(panels, groups, strict=True):
            _plot(axes, runs, names)
            axes.set_title(title)
            axes.set_xlabel("step")
            axes.grid(True)
            axes.legend(frameon=False, fontsize=9)
        return as_image(figure)


def _plot(axes, runs, names):
    """Plot columns with one color per column and one line style per run."""
    line_styles = ["-", "--", ":", "-."]
    for index, (run, columns) in enumerate(runs.items()):
        for number, name in enumerate(names):
            points = columns.get(name)
            if not points:
                continue
            short = name.removeprefix(_VALIDATION).replace("_", " ")
            label = f"{run}: {short}" if run else short
            # Markers would clutter curves of many points.
            marker = "o" if len(points) < 30 else None
            axes.plot(
                *zip(*points, strict=True),
                line_styles[index % len(line_styles)],
                color=_COLORS[number % len(_COLORS)],
                label=label, linewidth=1.6, marker=marker, markersize=3,
            )  # fmt: skip


def _read(path):
    """Read a dict from columns to lists of `(step, value)` pairs."""
    path = pathlib.Path(path)
    path = path / "curve.csv" if path.is_dir() else path
    points = {}
    try:
        with open(path, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                step = int(row.pop("step"))
                for name, value in row.items():
                    if value:
                        scale = 100 if name == _FRACTION else 1
                        point = (step, scale * float(value))
                        points.setdefault(name, []).append(point)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            "`curves` must be the `curve.csv` of a training run, or its "
            f"folder. Received: {path} ({error!r})"
        ) from error
    if not points:
        raise ValueError(
            "`curves` must have at least one row; training writes the first "
            f"one with its first checkpoint. Received: {path}"
        )
    return points
