"""Search for points in a cube whose smallest distance is as large as possible.

Equal balls are inflated until they jam: a soft repulsion moves overlapping
points apart, the diameter grows while the overlaps vanish, and is bisected
once they no longer do. Many starts are tried, crystals among them, because
the best arrangements of 14, 32 or 150 points are crystals that a random start
hardly ever finds. Only numpy is used; a search takes seconds.
"""

import numpy as np

_CONTACT = 1e-5  # relative slack within which two points count as touching


def spread_points(num_points, num_starts=16):
    """Spread points in the unit cube.

    The search uses its own fixed random streams, so the answer depends on
    the arguments alone. Points that are left loose by the others are moved
    on until their own distances are as large as possible too.

    Args:
        num_points: Integer of at least 2.
        num_starts: Number of random starts, beside the crystals.

    Returns:
        A float64 array `(num_points, 3)` in `[0, 1]`.

    Example:
    >>> corners = spread_points(8)
    >>> sorted(set(corners.ravel().tolist()))
    [0.0, 1.0]
    """
    best, best_distance = None, -1.0
    for points, diameter in _starts(num_points, num_starts):
        points, distance = _jam(points, diameter)
        if distance > best_distance * (1 + _CONTACT):
            best, best_distance = points, distance
    return _settle_loose_points(best, best_distance)


def smallest_distance(points):
    """Measure the distance of the closest two points.

    Args:
        points: Array `(num_points, dimensions)`, any unit.

    Returns:
        A Python float in the unit of the points; infinity for one point.
    """
    return float(np.min(_distances(np.asarray(points, "float64"))))


def _distances(points):
    """Return all distances, the diagonal being infinite."""
    offsets = points[:, None] - points[None]
    squared = np.sum(offsets * offsets, axis=-1)
    np.fill_diagonal(squared, np.inf)
    return np.sqrt(squared)


def _starts(num_points, num_starts):
    """Yield `(points, diameter)` pairs to inflate from."""
    # A face-centered cubic packing of n balls whose centers fill a volume of
    # (1 + d)^3 has n d^3 = sqrt(2) (1 + d)^3; 0.9 leaves room to move.
    edge = 0.9 * (np.sqrt(2) / num_points) ** (1 / 3)
    diameter = edge / (1 - min(0.45, 0.6 * edge))
    for crystal in _crystals(num_points)[:6]:
        random = np.random.default_rng(num_points)
        for _ in range(1 if len(crystal) == num_points else 2):
            kept = random.permutation(len(crystal))[:num_points]
            points = crystal[kept]
            yield points, max(diameter, smallest_distance(crystal))
    for start in range(num_starts):
        random = np.random.default_rng([num_points, start])
        yield random.random((num_points, 3)), diameter


def _crystals(num_points):
    """List crystals stretched to the cube that hold enough points."""
    most = int(np.ceil((2 * num_points) ** (1 / 3))) + 3
    found = []
    for x in range(1, most):
        for y in range(x, most):
            for z in range(y, most):
                found += _crystals_of_shape((x, y, z), num_points)
    return sorted(found, key=smallest_distance, reverse=True)


def _crystals_of_shape(steps, num_points):
    """List the crystals on one grid that are neither too small nor large."""
    if np.prod(np.array(steps) + 1) < num_points:
        return []
    axes = [np.arange(step + 1) for step in steps]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    odd = grid % 2
    masks = (
        grid.sum(axis=1) % 2 == 0,  # face-centered
        grid.sum(axis=1) % 2 == 1,
        (odd == odd[:, :1]).all(axis=1),  # body-centered
        np.ones(len(grid), bool),  # simple
    )
    crystals = [grid[mask] / np.array(steps) for mask in masks]
    most = 1.35 * num_points + 3
    return [c for c in crystals if num_points <= len(c) <= most]


def _jam(points, diameter, is_loose=None, rounds=40):
    """Inflate balls around the points until they cannot grow any more.

    Returns:
        A pair: the best points seen and their smallest distance.
    """
    best, best_distance = points, _loose_distance(points, is_loose)
    is_growing = True
    for _ in range(rounds):
        is_fine = diameter - best_distance < 1e-4 * diameter
        tolerance = 1e-9 if is_fine else 1e-5
        points = _push_apart(points, diameter, is_loose, tolerance)
        distance = _loose_distance(points, is_loose)
        if distance > best_distance:
            best, best_distance = points, distance
        is_growing = is_growing and distance > 0.998 * diameter
        if is_growing:
            diameter = 1.02 * diameter
        elif diameter - distance < 1e-7:
            break
        else:
            diameter = 0.5 * (distance + diameter)
    return best, best_distance


def _loose_distance(points, is_loose):
    """Measure the smallest distance that a loose point takes part in."""
    distances = _distances(points)
    return np.min(distances if is_loose is None else distances[is_loose])


def _push_apart(points, diameter, is_loose, tolerance, steps=200):
    """Minimize the squared overlaps of balls by damped molecular dynamics.

    Reference:
        Bitzek et al., "Structural relaxation made simple", 2006 (FIRE).
    """
    velocity, step, mixing, downhill = np.zeros_like(points), 0.1, 0.1, 0
    seen_at, pairs = points, _near_pairs(points, 1.3 * diameter)
    for _ in range(steps):
        if np.max(np.abs(points - seen_at)) > 0.07 * diameter:
            seen_at, pairs = points, _near_pairs(points, 1.3 * diameter)
        force = _repulsion(points, pairs, diameter)
        if is_loose is not None:
            force = np.where(is_loose[:, None], force, 0.0)
        force = _slide_on_walls(points, force)
        velocity = _slide_on_walls(points, velocity)
        size = np.sqrt(np.sum(force * force))
        if size < tolerance * diameter:
            break
        if np.sum(force * velocity) > 0:
            downhill += 1
            if downhill > 5:
                step, mixing = min(1.1 * step, 1.0), 0.99 * mixing
        else:
            velocity = np.zeros_like(velocity)
            step, mixing, downhill = 0.5 * step, 0.1, 0
        velocity = velocity + step * force
        speed = np.sqrt(np.sum(velocity * velocity))
        velocity = (1 - mixing) * velocity + mixing * speed / size * force
        points = np.clip(points + step * velocity, 0.0, 1.0)
    return points


def _near_pairs(points, reach):
    """Return the index arrays of all pairs closer than `reach`."""
    return np.nonzero(np.triu(_distances(points) < reach, 1))


def _repulsion(points, pairs, diameter):
    """Return the force on each point: the sum of its overlaps."""
    first, second = pairs
    offset = points[first] - points[second]
    distance = np.sqrt(np.sum(offset * offset, axis=1)) + 1e-12
    push = offset * (np.maximum(diameter - distance, 0) / distance)[:, None]
    count = len(points)
    columns = [
        np.bincount(first, column, count) - np.bincount(second, column, count)
        for column in push.T
    ]
    return np.stack(columns, axis=1)


def _slide_on_walls(points, vectors):
    """Drop the components that point out of the cube."""
    leaves = (points <= 0) & (vectors < 0) | (points >= 1) & (vectors > 0)
    return np.where(leaves, 0.0, vectors)


def _settle_loose_points(points, distance):
    """Maximize the next smallest distances of points that touch no other."""
    for _ in range(8):
        closest = np.min(_distances(points), axis=1)
        is_loose = closest > distance * (1 + 10 * _CONTACT)
        if not is_loose.any():
            break
        points, distance = _jam(points, 1.01 * distance, is_loose)
    return points
