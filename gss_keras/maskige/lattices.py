"""Crystal lattices in a cube, as starts of the search in `packing`."""

import itertools

import numpy as np


def lattices(num_points):
    """Return lattices, stretched to the unit cube, with enough points.

    Each is a part of a grid: every second point (face-centered cubic, or
    hexagonal close packing if layers are shifted), the points whose indices
    are all even or all odd (body-centered cubic), or all points (cubic).

    Args:
        num_points: Integer, the minimum number of points.

    Returns:
        A list of float64 arrays `(at least num_points, 3)` in `[0, 1]`,
        sorted by their smallest distance, the largest first.

    Example:
        >>> len(lattices(14)[0])
        14
    """
    longest = int(np.ceil((2 * num_points) ** (1 / 3))) + 4
    found = []
    for steps in itertools.product(range(1, longest), repeat=3):
        if np.prod(np.add(steps, 1)) >= num_points:
            found += _lattices_of_grid(steps, num_points)
    order = sorted(range(len(found)), key=lambda i: -found[i][0])
    return [found[i][1] for i in order]


def _lattices_of_grid(steps, num_points):
    """Return pairs of smallest distance and points, one per lattice."""
    axes = [np.arange(step + 1) for step in steps]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    parity = grid.sum(axis=1) % 2
    cubic = grid / np.array(steps)
    # In hexagonal close packing, the spheres of every other layer are above the
    # centers of triangles, shifted by a third of a row.
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
    for points, is_member in candidates:
        if num_points <= is_member.sum() <= 1.35 * num_points + 3:
            # Lattices repeat after two steps, so a corner has all distances.
            corner = points[is_member & (grid.max(axis=1) <= 3)]
            found.append((_smallest_distance(corner), points[is_member]))
    return found


def _smallest_distance(points):
    offsets = points[:, None] - points[None]
    squared = np.sum(offsets * offsets, axis=-1)
    np.fill_diagonal(squared, np.inf)
    return np.sqrt(squared.min())
