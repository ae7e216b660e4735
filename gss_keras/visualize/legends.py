"""Say which color is which class."""

import numpy as np

from gss_keras.maskige.mapping import IGNORE_LABEL
from gss_keras.visualize.pictures import font

_MARGIN = 10
_LINE, _CHIP, _TEXT = 26, 16, 14
_TILE_WIDTH, _TILE_HEIGHT, _NEIGHBOR = 132, 72, 22
_INK, _PALE_INK, _OUTLINE = (33,) * 3, (110,) * 3, (150,) * 3
# The ITU-R BT.601 weights of red, green and blue in perceived brightness.
_LUMA = np.array([0.299, 0.587, 0.114])


def legend(palette, names=None, width=640, ids=None):
    """Name the colors of classes, in as many columns as fit.

    Args:
        palette: Array of shape `(num_classes, 3)`, RGB 0-255.
        names: Class names; by default "class 0" and so on.
        width: Width of the picture in pixels.
        ids: Ids of the classes to show, such as `np.unique(mask)`; by
            default all. 255 and others without a color are left out.

    Returns:
        Uint8 array of shape `(height, width, 3)`, RGB 0-255.
    """
    from PIL import Image, ImageDraw

    palette, names = np.asarray(palette), class_names(palette, names)
    shown = range(len(palette)) if ids is None else np.asarray(ids).tolist()
    shown = [i for i in shown if 0 <= i < len(palette) and i != IGNORE_LABEL]
    letters = font(_TEXT)
    longest = max([letters.getlength(names[i]) for i in shown], default=0)
    column = int(_CHIP + 8 + longest + 18)
    columns = max(1, min(len(shown), (width - 2 * _MARGIN + 18) // column))
    rows = -(-len(shown) // columns)
    height = rows * _LINE + (2 * _MARGIN if shown else 0)
    canvas = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(canvas)
    for place, number in enumerate(shown):
        # Down the columns, as people read lists.
        left = _MARGIN + place // max(rows, 1) * column
        top = _MARGIN + place % max(rows, 1) * _LINE + (_LINE - _CHIP) // 2
        box = (left, top, left + _CHIP, top + _CHIP)
        draw.rounded_rectangle(box, 3, _rgb(palette[number]), _OUTLINE)
        place = (left + _CHIP + 8, top + _CHIP // 2)
        draw.text(place, names[number], _INK, letters, anchor="lm")
    return np.asarray(canvas)


def palette_chart(palette, names=None, columns=6):
    """Show the colors of a palette and how far each is from the others.

    Under each color stands the one nearest to it, with their distance in RGB:
    the closer they are, the sooner the tokenizer's blur makes one class of
    the other. A pair with the smallest distance of all is framed in red.

    Args:
        palette: Array of shape `(num_classes, 3)`, RGB 0-255.
        names: Class names; by default "class 0" and so on.
        columns: Number of colors beside each other.

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


def stack(*pictures, gap=0):
    """Put pictures below each other, filled up with white to one width.

    Args:
        *pictures: Uint8 arrays `(height, width, 3)`, such as an overlay and
            its `legend`.
        gap: White pixels between two of them.

    Returns:
        Uint8 array of shape `(height, width, 3)`.

    Example:
        >>> black = np.zeros((2, 3, 3), "uint8")
        >>> stack(black, black[:, :2], gap=1).shape
        (5, 3, 3)
    """
    width = max(picture.shape[1] for picture in pictures)
    height = sum(len(p) for p in pictures) + gap * (len(pictures) - 1)
    result = np.full((height, width, 3), 255, "uint8")
    top = 0
    for picture in pictures:
        result[top : top + len(picture), : picture.shape[1]] = picture
        top += len(picture) + gap
    return result


def class_names(palette, names):
    """Return the names of classes as strings, numbers where there are none."""
    if names is None:
        return [f"class {number}" for number in range(len(palette))]
    return [str(name) for name in names]


def shorten(text, letters, width):
    """Cut a text so that it fits into a width in pixels."""
    if letters.getlength(text) <= width:
        return text
    while text and letters.getlength(text + "...") > width:
        text = text[:-1]
    return text.rstrip() + "..."


def _draw_tile(draw, left, top, color, number, name):
    letters, small = font(_TEXT), font(11)
    box = (left, top, left + _TILE_WIDTH, top + _TILE_HEIGHT)
    draw.rectangle(box, _rgb(color), _OUTLINE)
    ink = "black" if color @ _LUMA > 120 else "white"
    text = shorten(name, letters, _TILE_WIDTH - 12)
    draw.text((left + 6, top + 6), text, ink, letters)
    code = "{:3d} {:3d} {:3d}".format(*_rgb(color))
    bottom = top + _TILE_HEIGHT - 5
    draw.text((left + 6, bottom), code, ink, small, anchor="ls")
    place = (left + _TILE_WIDTH - 6, bottom)
    draw.text(place, str(number), ink, small, anchor="rs")


def _draw_neighbor(draw, left, top, color, text):
    small = font(11)
    box = (left, top, left + _NEIGHBOR, top + _NEIGHBOR)
    draw.rectangle(box, _rgb(color), _OUTLINE)
    text = shorten(text, small, _TILE_WIDTH - _NEIGHBOR - 8)
    place = (left + _NEIGHBOR + 6, top + _NEIGHBOR // 2 + 1)
    draw.text(place, text, _PALE_INK, small, anchor="lm")


def _rgb(color):
    return tuple(int(round(float(value))) for value in color)
