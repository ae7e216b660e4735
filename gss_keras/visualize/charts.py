"""Charts of scores: which class is found, and what it is taken for."""

import numpy as np

from gss_keras.visualize.drawing import DARK, PALE, RED, as_picture, chart

# A chart of many classes has small cells, but names must stay readable.
_CHART_SIDE = 900
_SMALLEST_CELL, _LARGEST_CELL, _NUMBERED_CELL = 13, 46, 24
_LETTER = 7
_BAR, _BAR_WIDTH = 20, 420


def confusion_matrix(confusion, names=None):
    """Show which class was taken for which, as shares of the true class.

    A row is a true class, a column what it was taken for: the darker, the
    more of its pixels. Darkness grows with the root of the share, so that one
    pixel in a hundred can be seen; up to some 35 classes each cell also tells
    its percents. Rows of classes without a single pixel are gray.

    Args:
        confusion: Int array `(num_classes, num_classes)` of counts, or with
            one more column for pixels that were taken for none of the
            classes, which is shown where it is not empty.
        names: Class names; by default the class ids.

    Returns:
        Uint8 array of shape `(height, width, 3)`, RGB 0-255.
    """
    confusion, rows, columns = _labeled(confusion, names)
    totals = confusion.sum(axis=1, keepdims=True)
    shares = 100 * confusion / np.maximum(totals, 1)
    cell = int(np.clip(_CHART_SIDE // len(rows), _SMALLEST_CELL, _LARGEST_CELL))
    size = min(cell * 0.62, 9.5)
    margin = 55 + _LETTER * size / 9 * max(map(len, columns))
    width = margin + cell * len(columns) + 90
    with chart(width, margin + cell * len(rows) + 20) as figure:
        axes = figure.subplots()
        absent = np.ma.masked_where(
            np.broadcast_to(totals == 0, shares.shape), shares
        )
        axes.set_facecolor(PALE)
        image = axes.imshow(
            absent, cmap="Blues", norm=_root_norm(), aspect="equal"
        )
        axes.set_xticks(range(len(columns)), columns, rotation=90)
        axes.set_yticks(range(len(rows)), rows)
        axes.xaxis.tick_top()
        axes.tick_params(length=0, labelsize=size)
        axes.set_xlabel("taken for")
        axes.xaxis.set_label_position("top")
        axes.set_ylabel("true class")
        axes.spines[:].set_visible(False)
        if cell >= _NUMBERED_CELL:
            _write_percents(axes, shares, min(cell * 0.28, 9))
        bar = figure.colorbar(image, shrink=0.5, aspect=25)
        bar.set_ticks([0, 1, 5, 20, 50, 100], labels=_percents())
        bar.outline.set_visible(False)
        return as_picture(figure)


def iou_bars(ious, names=None):
    """Show the IoU of each class as a bar, the best class first.

    The red line is the mean over the classes that occur.

    Args:
        ious: Float array `(num_classes,)` in percent, NaN for classes that do
            not occur.
        names: Class names; by default the class ids.

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
            absent = np.isnan(ious[number])
            text = "absent" if absent else f"{ious[number]:.1f}"
            place = (lengths[row] + 1, row)
            color = "#999999" if absent else "#222222"
            axes.text(*place, text, va="center", fontsize=8.5, color=color)
        if not np.isnan(ious).all():
            mean = np.nanmean(ious)
            axes.axvline(mean, color=RED, linewidth=1.2)
            title = f"mean {mean:.2f}"
            axes.set_title(title, color=RED, loc="left")
        axes.set_yticks(range(len(order)), [names[i] for i in order])
        axes.set_ylim(len(order) - 0.4, -0.6)
        axes.set_xlim(0, 108)
        axes.set_xticks(range(0, 101, 20))
        axes.set_xlabel("IoU in percent")
        axes.tick_params(axis="y", length=0, labelsize=9)
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)
        return as_picture(figure)


def _labeled(confusion, names):
    """Return counts with the names of rows and columns."""
    confusion = np.asarray(confusion, "float64")
    count = len(confusion)
    rows = [str(name) for name in names or range(count)]
    if confusion.shape[1] == count or not confusion[:, -1].any():
        return confusion[:, :count], rows, rows
    return confusion, rows, [*rows, "(none)"]


def _root_norm():
    from matplotlib.colors import PowerNorm

    return PowerNorm(0.5, vmin=0, vmax=100)


def _percents():
    return ["0", "1", "5", "20", "50", "100 %"]


def _write_percents(axes, shares, size):
    for row, column in np.ndindex(shares.shape):
        text = f"{shares[row, column]:.0f}"
        if text != "0":
            # Both can be read on the blue of a fifth.
            color = "white" if shares[row, column] > 30 else "#222222"
            axes.text(
                column, row, text, ha="center", va="center",
                fontsize=size, color=color,
            )  # fmt: skip
