"""Charts of scores: confusion matrix and IoU per class."""

import numpy as np

from gss_keras.visualize.drawing import DARK, PALE, RED, as_image, chart

# Cells shrink with the number of classes, down to a readable font size. In
# pixels: sides of the chart and of its cells, letter width, bar size.
_CHART_SIDE = 900
_SMALLEST_CELL, _LARGEST_CELL, _NUMBERED_CELL = 13, 46, 24
_LETTER = 7
_BAR, _BAR_WIDTH = 20, 420


def confusion_matrix(confusion, names=None):
    """Plot a confusion matrix, normalized over the true classes.

    Rows are true classes, columns predicted classes. The color scale is
    proportional to the square root of the fraction, so that confusions of 1 %
    are visible. With up to about 35 classes, cells are annotated with
    percentages. Rows of classes without pixels are gray.

    Args:
        confusion: Int array of counts, `(num_classes, num_classes)`, or
            `(num_classes, num_classes + 1)` with predictions of no class in
            the last column, which is shown if it is not empty.
        names: Class names. Defaults to the class ids.

    Returns:
        Uint8 array of shape `(height, width, 3)`, RGB 0-255.
    """
    confusion, rows, columns = _labeled(confusion, names)
    totals = confusion.sum(axis=1, keepdims=True)
    percentages = 100 * confusion / np.maximum(totals, 1)
    cell = int(np.clip(_CHART_SIDE // len(rows), _SMALLEST_CELL, _LARGEST_CELL))
    size = min(cell * 0.62, 9.5)
    margin = 55 + _LETTER * size / 9 * max(map(len, columns))
    width = margin + cell * len(columns) + 90
    with chart(width, margin + cell * len(rows) + 20) as figure:
        axes = figure.subplots()
        is_absent = np.broadcast_to(totals == 0, percentages.shape)
        axes.set_facecolor(PALE)
        image = axes.imshow(
            np.ma.masked_where(is_absent, percentages),
            cmap="Blues",
            norm=_square_root_norm(),
            aspect="equal",
        )
        axes.set_xticks(range(len(columns)), columns, rotation=90)
        axes.set_yticks(range(len(rows)), rows)
        axes.xaxis.tick_top()
        axes.tick_params(length=0, labelsize=size)
        axes.set_xlabel("predicted class")
        axes.xaxis.set_label_position("top")
        axes.set_ylabel("true class")
        axes.spines[:].set_visible(False)
        if cell >= _NUMBERED_CELL:
            _annotate(axes, percentages, min(cell * 0.28, 9))
        bar = figure.colorbar(image, shrink=0.5, aspect=25)
        bar.set_ticks(
            [0, 1, 5, 20, 50, 100], labels=["0", "1", "5", "20", "50", "100 %"]
        )
        bar.outline.set_visible(False)
        return as_image(figure)


def iou_bars(ious, names=None):
    """Plot a bar chart of the IoU per class, in descending order.

    A red line marks the mean over the classes that occur.

    Args:
        ious: Float array `(num_classes,)` in percent, NaN for absent classes.
        names: Class names. Defaults to the class ids.

    Returns:
        Uint8 array of shape `(height, width, 3)`, RGB 0-255.
    """
    ious = np.asarray(ious, "float64")
    names = [str(name) for name in names or range(len(ious))]
    order = np.argsort(-np.where(np.isnan(ious), -1, ious), kind="stable")
    width = _BAR_WIDTH + 60 + _LETTER * max(map(len, names))
    with chart(width, _BAR * len(ious) + 60) as figure:
        axes = figure.subplots()
        lengths = np.nan_to_num(ious[order])
        axes.barh(range(len(order)), lengths, height=0.72, color=DARK)
        for row, number in enumerate(order):
            is_absent = np.isnan(ious[number])
            text = "absent" if is_absent else f"{ious[number]:.1f}"
            position = (lengths[row] + 1, row)
            color = "#999999" if is_absent else "#222222"
            axes.text(*position, text, va="center", fontsize=8.5, color=color)
        if not np.isnan(ious).all():
            mean = np.nanmean(ious)
            axes.axvline(mean, color=RED, linewidth=1.2)
            title = f"mean {mean:.2f}"
            axes.set_title(title, color=RED, loc="left")
        axes.set_yticks(range(len(order)), [names[i] for i in order])
        axes.set_ylim(len(order) - 0.4, -0.6)
        axes.set_xlim(0, 108)
        axes.set_xticks(range(0, 101, 20))
        axes.set_xlabel("IoU (%)")
        axes.tick_params(axis="y", length=0, labelsize=9)
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)
        return as_image(figure)


def _labeled(confusion, names):
    """Return the counts and the labels of rows and columns."""
    confusion = np.asarray(confusion, "float64")
    count = len(confusion)
    rows = [str(name) for name in names or range(count)]
    if confusion.shape[1] == count or not confusion[:, -1].any():
        return confusion[:, :count], rows, rows
    return confusion, rows, [*rows, "(none)"]


def _square_root_norm():
    from matplotlib.colors import PowerNorm

    return PowerNorm(0.5, vmin=0, vmax=100)


def _annotate(axes, percentages, size):
    for row, column in np.ndindex(percentages.shape):
        text = f"{percentages[row, column]:.0f}"
        if text != "0":
            # Near this threshold, both colors contrast with the cell.
            color = "white" if percentages[row, column] > 30 else "#222222"
            axes.text(
                column, row, text, ha="center", va="center",
                fontsize=size, color=color,
            )  # fmt: skip
