"""Finds the shapes that squares of a label map have, by counting.

Most squares hold one class. Where an outline passes, the classes on either
side nearly always fill a neighboring square, so that a token need not name
colors at all: it says which pixels copy which neighbor. Thin things, which
fill no square, get tokens with a color of their own.
"""

import dataclasses

import numpy as np

SQUARE = 4
PIXELS = SQUARE * SQUARE
# Row and column of the neighbors a pixel may copy: left, right, up, down.
NEIGHBORS = ((0, -1), (0, 1), (-1, 0), (1, 0))
OWN = len(NEIGHBORS)
LEFT, RIGHT = 0, 1
# The pixel that names the color of a plain square.
CENTER = 5
_BITS = 1 << np.arange(PIXELS)


@dataclasses.dataclass(frozen=True)
class ShapeCodes:
    """The vocabulary of a tokenizer.

    Attributes:
        colors: float `(num_colors, 3)` in [0, 1]. One plain token each.
        outlines: int `(num_outlines, 16)`. For each pixel of the square, row
            by row, the neighbor whose color it copies, in `[0, 4)`.
        strokes: int `(num_strokes, 16)`. The same, or 4 where the pixel has
            the token's own color. One token for each stroke and color.
        stroke_colors: float `(num_stroke_colors, 3)` in [0, 1]. Fewer than
            the plain ones: thin things matter where classes are few.
    """

    colors: np.ndarray
    outlines: np.ndarray
    strokes: np.ndarray
    stroke_colors: np.ndarray

    def __len__(self):
        strokes = len(self.strokes) * len(self.stroke_colors)
        return len(self.colors) + len(self.outlines) + strokes


def lattice_colors(levels=(6, 6, 9)):
    """Return every second point of a grid of colors: float32 in [0, 1].

    Args:
        levels: three ints. Levels of red, green and blue. With the default,
            the 162 colors lie at least 60 of 255 apart.

    Example:
    >>> lattice_colors().shape
    (162, 3)
    """
    points = np.stack(np.unravel_index(range(np.prod(levels)), levels), -1)
    points = points[points.sum(-1) % 2 == 0]
    return (points / (np.array(levels) - 1)).astype("float32")


def count_shapes(maps, num_outlines, num_strokes):
    """Choose the shapes that spare most wrong pixels on label maps.

    Shapes are taken one after the other: the one that explains most pixels
    of the squares that no shape before explains.

    Args:
        maps: Iterable of int arrays `(height, width)`, ids of regions.
        num_outlines: int. Shapes of neighbors' colors to keep.
        num_strokes: int. Shapes with a color of their own to keep.

    Returns:
        A pair of int arrays, as in `ShapeCodes`.
    """
    outlines, strokes = _Tally(), _Tally()
    for regions in maps:
        squares, beside = _outlined_squares(regions)
        equal = squares[:, :, None] == beside[:, None, :]
        is_explained = _tally_outlines(outlines, equal, beside)
        _tally_strokes(strokes, squares, equal, beside, ~is_explained)
        outlines.next_map(len(squares))
        strokes.next_map(len(squares))
    return outlines.best(num_outlines), strokes.best(num_strokes)


class _Tally:
    """Which squares each shape explains."""

    def __init__(self):
        self._squares, self._shapes, self._offset = [], [], 0

    def add(self, is_explained, shapes):
        self._squares.append(np.flatnonzero(is_explained) + self._offset)
        self._shapes.append(shapes[is_explained])

    def next_map(self, count):
        self._offset += count

    def best(self, number):
        """Return the most useful shapes: int `(number, 16)`."""
        squares = np.concatenate(self._squares)
        shapes, kind = np.unique(
            np.concatenate(self._shapes), axis=0, return_inverse=True
        )
        # A square named by its larger part alone is wrong in its smaller.
        spared = PIXELS - np.max(
            [(shapes == source).sum(axis=1) for source in range(OWN + 1)], 0
        )
        is_open = np.ones(self._offset, bool)
        chosen = []
        for _ in range(number):
            uses = np.bincount(kind, minlength=len(shapes)) * spared
            chosen.append(uses.argmax())
            is_open[squares[kind == chosen[-1]]] = False
            keep = is_open[squares]
            squares, kind = squares[keep], kind[keep]
        return shapes[chosen]


def _outlined_squares(regions):
    """Return squares of more than one region, and the plain ones beside.

    Returns:
        A pair: int `(n, 16)` regions of each pixel, and int `(n, 4)` region
        of each neighbor, -1 where it is not plain or outside the map.
    """
    regions = np.asarray(regions, int)
    height, width = (size // SQUARE for size in regions.shape)
    squares = regions[: height * SQUARE, : width * SQUARE]
    squares = squares.reshape(height, SQUARE, width, SQUARE)
    squares = squares.swapaxes(1, 2).reshape(height, width, PIXELS)
    is_plain = (squares == squares[..., :1]).all(-1)
    named = np.pad(np.where(is_plain, squares[..., 0], -1), 1, "constant",
                   constant_values=-1)  # fmt: skip
    beside = [
        named[1 + row : 1 + row + height, 1 + column : 1 + column + width]
        for row, column in NEIGHBORS
    ]
    return squares[~is_plain], np.stack(beside, -1)[~is_plain]


def _tally_outlines(tally, equal, beside):
    is_explained = np.zeros(len(equal), bool)
    for first in range(OWN):
        for second in range(first + 1, OWN):
            pair = equal[:, :, [first, second]]
            is_pair = (beside[:, [first, second]] >= 0).all(1)
            is_pair &= beside[:, first] != beside[:, second]
            is_pair &= pair.any(2).all(1) & pair.any(1).all(1)
            tally.add(is_pair, np.where(pair[:, :, 0], first, second))
            is_explained |= is_pair
    return is_explained


def _tally_strokes(tally, squares, equal, beside, is_open):
    grounds = [np.full(squares.shape, source) for source in range(OWN)]
    grounds = [
        np.where(equal[:, :, source], grounds[source], OWN)
        for source in range(OWN)
    ]
    grounds.append(_between(equal))
    for shapes in grounds:
        is_own = shapes == OWN
        used = np.stack([(shapes == s).any(1) for s in range(OWN)], -1)
        is_stroke = is_open & is_own.any(1) & ~is_own.all(1)
        is_stroke &= (~used | (beside >= 0)).all(1)
        highest = np.where(is_own, squares, -1).max(1)
        lowest = np.where(is_own, squares, np.iinfo(int).max).min(1)
        is_stroke &= highest == lowest
        if shapes is grounds[-1]:
            is_stroke &= used[:, LEFT] & used[:, RIGHT]
        tally.add(is_stroke, shapes)


def _between(equal):
    """Return shapes with the left neighbor to the left, the right to it."""
    rows = equal.reshape(-1, SQUARE, SQUARE, OWN)
    is_left = np.cumprod(rows[..., LEFT], axis=2).astype(bool)
    is_right = np.cumprod(rows[:, :, ::-1, RIGHT], axis=2)[:, :, ::-1] > 0
    shapes = np.where(is_left, LEFT, np.where(is_right, RIGHT, OWN))
    return shapes.reshape(-1, PIXELS)
