"""Select the most frequent shapes in the patches of label maps.

Most patches are uniform: they have a single class. At the outline between two
classes, each of them nearly always fills a neighboring patch, so a token need
not encode colors at all: it encodes which pixels copy which neighbor. Thin
objects, which fill no patch, have tokens with a color of their own: strokes.
"""

import dataclasses

import numpy as np

PATCH = 4  # side in pixels
PIXELS = PATCH * PATCH
# Row and column offsets of the patches to copy from: left, right, up, down.
NEIGHBORS = ((0, -1), (0, 1), (-1, 0), (1, 0))
OWN = len(NEIGHBORS)
LEFT, RIGHT = 0, 1
# Index of the pixel that represents the color of a uniform patch.
CENTER = 5
_BITS = 1 << np.arange(PIXELS)


@dataclasses.dataclass(frozen=True)
class ShapeCodes:
    """Codebook of a tokenizer that `build_tokenizer` constructs.

    Attributes:
        colors: float `(num_colors, 3)` in [0, 1]. One token per color, for
            uniform patches.
        outlines: int `(num_outlines, 16)`. One token per outline: for each
            pixel of the patch, row by row, the index in `[0, 4)` of the
            neighbor whose color it copies.
        strokes: int `(num_strokes, 16)`. As `outlines`, or 4 if the pixel has
            the token's own color. One token per stroke and stroke color.
        stroke_colors: float `(num_stroke_colors, 3)` in [0, 1]. These are
            fewer than `colors`: thin objects matter if there are few classes.
    """

    colors: np.ndarray
    outlines: np.ndarray
    strokes: np.ndarray
    stroke_colors: np.ndarray

    def __len__(self):
        strokes = len(self.strokes) * len(self.stroke_colors)
        return len(self.colors) + len(self.outlines) + strokes


def lattice_colors(levels=(6, 6, 9)):
    """Return the colors of a checkerboard lattice in the RGB cube.

    Args:
        levels: three ints. Levels of red, green and blue. With the default,
            the 162 colors are at least 60 of 255 apart.

    Returns:
        Float32 `(num_colors, 3)` in [0, 1], every second point of the grid.

    Example:
    >>> lattice_colors().shape
    (162, 3)
    """
    points = np.stack(np.unravel_index(range(np.prod(levels)), levels), -1)
    points = points[points.sum(-1) % 2 == 0]
    return (points / (np.array(levels) - 1)).astype("float32")


def count_shapes(maps, num_outlines, num_strokes):
    """Select the shapes that best cover the patches of label maps, greedily.

    Each step selects the shape that saves most wrong pixels in those patches
    that no shape covers yet: a greedy weighted maximum coverage.

    Args:
        maps: Iterable of int arrays `(height, width)`, ids of regions.
        num_outlines: int. Number of outlines to select.
        num_strokes: int. Number of strokes to select.

    Returns:
        A pair of int arrays, `outlines` and `strokes` of `ShapeCodes`.
    """
    outlines, strokes = _Coverage(), _Coverage()
    for regions in maps:
        patches, neighbors = _mixed_patches(regions)
        equal = patches[:, :, None] == neighbors[:, None, :]
        is_covered = _add_outlines(outlines, equal, neighbors)
        _add_strokes(strokes, patches, equal, neighbors, ~is_covered)
        outlines.next_map(len(patches))
        strokes.next_map(len(patches))
    return outlines.best(num_outlines), strokes.best(num_strokes)


class _Coverage:
    """Record which patches each shape covers, and select shapes."""

    def __init__(self):
        self._patches, self._shapes, self._offset = [], [], 0

    def add(self, is_covered, shapes):
        self._patches.append(np.flatnonzero(is_covered) + self._offset)
        self._shapes.append(shapes[is_covered])

    def next_map(self, count):
        self._offset += count

    def best(self, number):
        """Select shapes by greedy maximum coverage: int `(number, 16)`."""
        patches = np.concatenate(self._patches)
        shapes, kind = np.unique(
            np.concatenate(self._shapes), axis=0, return_inverse=True
        )
        # Encoded as uniform, a patch would have the color of its largest
        # region, and all other pixels would be wrong.
        saved = PIXELS - np.max(
            [(shapes == source).sum(axis=1) for source in range(OWN + 1)], 0
        )
        is_uncovered = np.ones(self._offset, bool)
        selected = []
        for _ in range(number):
            gains = np.bincount(kind, minlength=len(shapes)) * saved
            selected.append(gains.argmax())
            is_uncovered[patches[kind == selected[-1]]] = False
            keep = is_uncovered[patches]
            patches, kind = patches[keep], kind[keep]
        return shapes[selected]


def _mixed_patches(regions):
    """Return the patches of more than one region, and their neighbors.

    Returns:
        A pair: int `(n, 16)`, the region of each pixel, and int `(n, 4)`, the
        region of each neighboring patch, -1 if it is not uniform or outside
        the map.
    """
    regions = np.asarray(regions, int)
    height, width = (size // PATCH for size in regions.shape)
    patches = regions[: height * PATCH, : width * PATCH]
    patches = patches.reshape(height, PATCH, width, PATCH)
    patches = patches.swapaxes(1, 2).reshape(height, width, PIXELS)
    is_uniform = (patches == patches[..., :1]).all(-1)
    uniform = np.where(is_uniform, patches[..., 0], -1)
    uniform = np.pad(uniform, 1, constant_values=-1)
    neighbors = [
        uniform[1 + row : 1 + row + height, 1 + column : 1 + column + width]
        for row, column in NEIGHBORS
    ]
    return patches[~is_uniform], np.stack(neighbors, -1)[~is_uniform]


def _add_outlines(coverage, equal, neighbors):
    """Add the patches whose pixels all equal one of two uniform neighbors."""
    is_covered = np.zeros(len(equal), bool)
    for first in range(OWN):
        for second in range(first + 1, OWN):
            pair = equal[:, :, [first, second]]
            is_pair = (neighbors[:, [first, second]] >= 0).all(1)
            is_pair &= neighbors[:, first] != neighbors[:, second]
            is_pair &= pair.any(2).all(1) & pair.any(1).all(1)
            coverage.add(is_pair, np.where(pair[:, :, 0], first, second))
            is_covered |= is_pair
    return is_covered


def _add_strokes(coverage, patches, equal, neighbors, is_candidate):
    """Add the patches of one region in front of one or two neighbors."""
    candidates = [
        np.where(equal[:, :, source], source, OWN) for source in range(OWN)
    ]
    between = _between(equal)
    for shapes in [*candidates, between]:
        is_own = shapes == OWN
        used = np.stack([(shapes == s).any(1) for s in range(OWN)], -1)
        is_stroke = is_candidate & is_own.any(1) & ~is_own.all(1)
        is_stroke &= (~used | (neighbors >= 0)).all(1)
        highest = np.where(is_own, patches, -1).max(1)
        lowest = np.where(is_own, patches, np.iinfo(int).max).min(1)
        is_stroke &= highest == lowest
        if shapes is between:
            is_stroke &= used[:, LEFT] & used[:, RIGHT]
        coverage.add(is_stroke, shapes)


def _between(equal):
    """Return shapes of a vertical bar between the left and right neighbor."""
    rows = equal.reshape(-1, PATCH, PATCH, OWN)
    is_left = np.cumprod(rows[..., LEFT], axis=2).astype(bool)
    is_right = np.cumprod(rows[:, :, ::-1, RIGHT], axis=2)[:, :, ::-1] > 0
    shapes = np.where(is_left, LEFT, np.where(is_right, RIGHT, OWN))
    return shapes.reshape(-1, PIXELS)
