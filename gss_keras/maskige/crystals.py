"""Crystals cut to a cube: regular starts for the search in `packing`."""

import itertools

import numpy as np


def crystals(num_points):
    """Lists crystals, stretched to the unit cube, that hold enough points.

    A crystal is a grid of which every second point is taken (face-centered
    or hexagonal, by where its layers lie), or the points whose indices are
    all even or all odd (body-centered), or all points.

    Args:
        num_points: Integer, the number of points wanted.

    Returns:
        A list of float64 arrays `(at least num_points, 3)` in `[0, 1]`, the
        one with the largest smallest distance first.

    Example:
        >>> len(crystals(14)[0])
        14
    """
    longest = int(np.ceil((2 * num_points) ** (1 / 3))) + 4
    found = []
    for steps in itertools.product(range(1, longest), repeat=3):
        if np.prod(np.add(steps, 1)) >= num_points:
            found += _crystals_of_shape(steps, num_points)
    order = sorted(range(len(found)), key=lambda i: -found[i][0])
    return [found[i][1] for i in order]


def _crystals_of_shape(steps, num_points):
    """Lists pairs of smallest distance and crystal for one grid."""
    axes = [np.arange(step + 1) for step in steps]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    parity = grid.sum(axis=1) % 2
    cubic = grid / np.array(steps)
    # In a close packing of triangular layers the balls of every other layer
    # lie over the middle of triangles, a third of a row further.
    hexagonal = grid + np.outer(grid[:, 2] % 2, [0, 1 / 3, 0])
    hexagonal = hexagonal / hexagonal.max(axis=0)
    candidates = [(hexagonal, parity == 0), (hexagonal, parity == 1)]
    if steps == tuple(sorted(steps)):
        odd = grid % 2
        candidates += [
            (cubic, parity == 0),
            (cubic, parity == 1),
            (cubic, (odd == odd[:, :1]).all(axis=1)),
            (cubic, np.ones(len(grid), bool)),
        ]
    found = []
    for points, is_taken in candidates:
        if num_points <= is_taken.sum() <= 1.35 * num_points + 3:
            # Everything repeats after two steps, so a corner tells all.
            corner = points[is_taken & (grid.max(axis=1) <= 3)]
            found.append((_smallest_distance(corner), points[is_taken]))
    return found


def _smallest_distance(points):
    offsets = points[:, None] - points[None]
    squared = np.sum(offsets * offsets, axis=-1)
    np.fill_diagonal(squared, np.inf)
    return np.sqrt(squared.min())
