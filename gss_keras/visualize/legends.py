"""Legends and palette charts."""

import numpy as np

from gss_keras.constants import IGNORE_LABEL
from gss_keras.visualize.pictures import font

_MARGIN = 10
_LINE, _CHIP, _TEXT = 26, 16, 14
_TILE_WIDTH, _TILE_HEIGHT, _NEIGHBOR = 132, 72, 22
_TEXT_COLOR, _NOTE_COLOR, _OUTLINE = (33,) * 3, (110,) * 3, (150,) * 3
# ITU-R BT.601 luma coefficients.
_LUMA = np.array([0.299, 0.587, 0.114])


def legend(palette, names=None, width=640, ids=None):
    """Draw a legend of class colors and names.

    Args:
        palette: Array of shape `(num_classes, 3)`, RGB 0-255.
        names: Class names. Defaults to "class 0", "class 1" and so on.
        width: Width of the image in pixels, filled with as many columns as
            fit.
        ids: Ids of the classes to show, such as `np.unique(mask)`. Defaults
            to all. 255 and ids outside the palette are skipped.

    Returns:
        Uint8 array of shape `(height, width, 3)`, RGB 0-255.
    """
    from PIL import Image, ImageDraw

    palette, names = np.asarray(palette), class_names(palette, names)
    shown = range(len(palette)) if ids is None else np.asarray(ids).tolist()
    shown = [i for i in shown if 0 <= i < len(palette) and i != IGNORE_LABEL]
    text_font = font(_TEXT)
    longest = max([text_font.getlength(names[i]) for i in shown], default=0)
    column = int(_CHIP + 8 + longest + 18)
    columns = max(1, min(len(shown), (width - 2 * _MARGIN + 18) // column))
    rows = -(-len(shown) // columns)
    height = rows * _LINE + (2 * _MARGIN if shown else 0)
    canvas = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(canvas)
    for index, number in enumerate(shown):
        # Fill column by column.
        left = _MARGIN + index // max(rows, 1) * column
        top = _MARGIN + index % max(rows, 1) * _LINE + (_LINE - _CHIP) // 2
        box = (left, top, left + _CHIP, top + _CHIP)
        draw.rounded_rectangle(box, 3, _rgb(palette[number]), _OUTLINE)
        position = (left + _CHIP + 8, top + _CHIP // 2)
        draw.text(position, names[number], _TEXT_COLOR, text_font, anchor="lm")
    return np.asarray(canvas)


def palette_chart(palette, names=None, columns=6):
    """Draw the colors of a palette with their nearest neighbors.

    Below each color is the nearest other color and their Euclidean distance
    in RGB. The smaller the distance, the more easily reconstruction errors of
    the tokenizer confuse the two classes. The closest pair has a red frame.

    Args:
        palette: Array of shape `(num_classes, 3)`, RGB 0-255.
        names: Class names. Defaults to "class 0", "class 1" and so on.
        columns: Number of colors per row.

    Returns:
        Uint8 array of shape `(height, width, 3)`, RGB 0-255.
    """
    from PIL import Image, ImageDraw

    palette, names = np.asarray(palette, "float64"), class_names(palette, names)
    distances = np.linalg.norm(palette[:, None] - palette[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    nearest, smallest = distances.argmin(axis=1), distances.min(axis=1)
    closest = np.unravel_index(distances.argmin(), distances.shape)
    columns = min(columns, len(palette))
    rows = -(-len(palette) // columns)
    step = _TILE_HEIGHT + _NEIGHBOR + 8
    size = (columns * (_TILE_WIDTH + 8) + 8, rows * step + 8)
    canvas = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    for number, name in enumerate(names):
        left = 8 + number % columns * (_TILE_WIDTH + 8)
        top = 8 + number // columns * step
        _draw_tile(draw, left, top, palette[number], number, name)
        if np.isinf(smallest[number]):
            continue
        other = nearest[number]
        line = (left, top + _TILE_HEIGHT)
        text = f"{smallest[number]:.0f} to {names[other]}"
        _draw_neighbor(draw, *line, palette[other], text)
        if number in closest:
            box = (left - 3, top - 3, left + _TILE_WIDTH + 3)
            bottom = top + _TILE_HEIGHT + _NEIGHBOR + 2
            draw.rectangle((*box, bottom), None, (210, 30, 30), 2)
    return np.asarray(canvas)


def stack(*images, gap=0):
    """Stack images vertically, padded with white to the same width.

    Args:
        *images: Uint8 arrays `(height, width, 3)`, such as an overlay and its
            `legend`.
        gap: Height of the white gap between images in pixels.

    Returns:
        Uint8 array of shape `(height, width, 3)`.

    Example:
        >>> black = np.zeros((2, 3, 3), "uint8")
        >>> stack(black, black[:, :2], gap=1).shape
        (5, 3, 3)
    """
    width = max(image.shape[1] for image in images)
    height = sum(map(len, images)) + gap * (len(images) - 1)
    result = np.full((height, width, 3), 255, "uint8")
    top = 0
    for image in images:
        result[top : top + len(image), : image.shape[1]] = image
        top += len(image) + gap
    return result


def class_names(palette, names):
    """Return class names as strings, "class 0" and so on for None."""
    if names is None:
        return [f"class {number}" for number in range(len(palette))]
    return [str(name) for name in names]


def truncate(text, text_font, width):
    """Truncate a text with an ellipsis to a width in pixels."""
    if text_font.getlength(text) <= width:
        return text
    while text and text_font.getlength(text + "...") > width:
        text = text[:-1]
    return text.rstrip() + "..."


def _draw_tile(draw, left, top, color, number, name):
    text_font, small_font = font(_TEXT), font(11)
    box = (left, top, left + _TILE_WIDTH, top + _TILE_HEIGHT)
    draw.rectangle(box, _rgb(color), _OUTLINE)
    text_color = "black" if color @ _LUMA > 120 else "white"
    text = truncate(name, text_font, _TILE_WIDTH - 12)
    draw.text((left + 6, top + 6), text, text_color, text_font)
    rgb = "{:3d} {:3d} {:3d}".format(*_rgb(color))
    bottom = top + _TILE_HEIGHT - 5
    draw.text((left + 6, bottom), rgb, text_color, small_font, anchor="ls")
    position = (left + _TILE_WIDTH - 6, bottom)
    draw.text(position, str(number), text_color, small_font, anchor="rs")


def _draw_neighbor(draw, left, top, color, text):
    small_font = font(11)
    box = (left, top, left + _NEIGHBOR, top + _NEIGHBOR)
    draw.rectangle(box, _rgb(color), _OUTLINE)
    text = truncate(text, small_font, _TILE_WIDTH - _NEIGHBOR - 8)
    position = (left + _NEIGHBOR + 6, top + _NEIGHBOR // 2 + 1)
    draw.text(position, text, _NOTE_COLOR, small_font, anchor="lm")


def _rgb(color):
    return tuple(int(round(float(value))) for value in color)
