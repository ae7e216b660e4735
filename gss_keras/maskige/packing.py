"""Search for points in a cube whose smallest distance is as large as possible.

Equal balls around the points are inflated until they jam: a soft repulsion
moves overlapping balls apart, their diameter grows while the overlaps vanish,
and is bisected once they no longer do. Many starts are inflated side by side,
crystals among them, because the best arrangements of 14, 32 or 194 points are
crystals that a random start hardly ever finds. A search takes seconds.

Arrays of points are `(starts, num_points, 3)` in the unit cube.
"""

import numpy as np

from gss_keras.maskige.crystals import crystals

_TOUCH = 1e-4  # relative slack within which two balls count as touching


def spread_points(num_points, num_starts=None, seed=0):
    """Spreads points in the unit cube.

    Points that the others leave loose are moved on until their own
    distances are as large as possible too.

    Args:
        num_points: Integer of at least 2.
        num_starts: Number of random starts beside the crystals; by default
            96, and fewer for more than 25 points.
        seed: Integer, for longer searches in several rounds; the same
            arguments give the same points.

    Returns:
        A float64 array `(num_points, 3)` in `[0, 1]`.

    Example:
        >>> corners = spread_points(8)
        >>> sorted(set(corners.ravel().tolist()))
        [0.0, 1.0]
    """
    if num_starts is None:
        num_starts = int(np.clip(2400 // num_points, 8, 96))
    best, distance = None, 0.0
    for points, diameters in (
        _crystal_starts(num_points, 8, seed),
        _random_starts(num_points, num_starts, seed),
    ):
        candidate, reached = _jam(points, diameters, at_least=distance)
        if candidate is not None:
            best, distance = candidate, reached
    best, distance = _polish(best, distance)
    return _settle_loose_points(best, distance)


def smallest_distance(points):
    """Measures the distance of the closest two points.

    Args:
        points: Array `(num_points, 3)`, any unit.

    Returns:
        A Python float in the unit of the points; infinity for one point.
    """
    return float(_distances(np.asarray(points, "float64")[None]).min())


def _random_starts(num_points, num_starts, seed):
    random = np.random.default_rng([num_points, seed])
    # Close-packed balls of volume n d^3 / sqrt(2) that fill the unit cube,
    # corrected for the half balls beyond its walls; a tenth less, so that
    # they find their places before they press against each other.
    edge = 0.9 * (np.sqrt(2) / num_points) ** (1 / 3)
    diameter = edge / (1 - 0.6 * edge)
    points = random.random((num_starts, num_points, 3))
    return points, np.full(num_starts, diameter)


def _crystal_starts(num_points, num_crystals, seed):
    """Drops surplus points of the best crystals, in two ways each."""
    random = np.random.default_rng([num_points, seed])
    points = [
        random.permutation(crystal)[:num_points]
        for crystal in crystals(num_points)[:num_crystals]
        for _ in range(2)
    ]
    points = np.stack(points)
    return points, _smallest(_distances(points), None)


def _polish(points, distance):
    """Takes one arrangement to the last digits, from several pressures."""
    diameters = distance * np.array([1, 1.0003, 1.001, 1.003, 1.01, 1.03])
    copies = np.repeat(points[None], len(diameters), axis=0)
    polished, reached = _jam(
        copies, diameters, at_least=distance, precision=1e-8, growth=1.0001
    )
    return (points, distance) if polished is None else (polished, reached)


def _settle_loose_points(points, distance, rounds=6):
    """Maximizes the next distances, of the points that touch no other."""
    is_loose = np.ones(len(points), bool)
    for _ in range(rounds):
        nearest = _distances(points[None])[0].min(axis=1)
        is_loose &= nearest > distance * (1 + _TOUCH)
        if not is_loose.any():
            break
        start = np.array([nearest[is_loose].min()])
        points, distance = _jam(points[None], start, is_loose=is_loose)
    return points


def _jam(
    points, diameters, at_least=0.0, precision=2e-5, growth=1.02, is_loose=None
):
    """Inflates balls around the points until they cannot grow any more.

    A start is given up once its diameter, which after the growth bounds
    what it can still reach, falls below the best distance seen.

    Returns:
        The best points `(num_points, 3)` and their smallest distance; or
        None and `at_least` if nothing beats that.
    """
    best, best_distance = None, at_least
    grows = np.ones(len(points), bool)
    while len(points):
        distances = _smallest(_distances(points), is_loose)
        first = distances.argmax()
        if distances[first] > best_distance:
            best, best_distance = points[first], distances[first]
        tolerance = min(1e-5, precision)
        points = _push_apart(points, diameters, is_loose, tolerance)
        distances = _smallest(_distances(points), is_loose)
        grows &= distances > (1 - (growth - 1) / 10) * diameters
        diameters = np.where(
            grows, growth * diameters, (distances + diameters) / 2
        )
        is_open = diameters - distances > precision * diameters
        is_open &= diameters > best_distance * (1 + precision)
        is_open |= grows
        points, diameters = points[is_open], diameters[is_open]
        grows = grows[is_open]
    return best, best_distance


def _push_apart(points, diameters, is_loose, tolerance, steps=200):
    """Minimizes the squared overlaps of the balls of each start.

    Reference:
        Bitzek et al., "Structural relaxation made simple", 2006 (FIRE); the
        constants are theirs.
    """
    velocity = np.zeros_like(points)
    step = np.full((len(points), 1, 1), 0.1)
    mixing, downhill = step.copy(), np.zeros_like(step)
    seen_at, reach = None, 1.3 * diameters
    for _ in range(steps):
        if seen_at is None or np.abs(points - seen_at).max() > 0.05 * min(
            reach
        ):
            seen_at, pairs = points, _near_pairs(points, reach)
        force = _slide(points, _repulsion(points, pairs, diameters))
        if is_loose is not None:
            force *= is_loose[:, None]
        size = _norm(force)
        if np.all(size[:, 0, 0] < tolerance * diameters):
            break
        velocity = _slide(points, velocity)
        is_down = _dot(force, velocity) > 0
        downhill = np.where(is_down, downhill + 1, 0)
        step = np.where(is_down, step, 0.5 * step)
        step = np.where(downhill > 5, np.minimum(1.1 * step, 1), step)
        mixing = np.where(is_down, mixing, 0.1)
        mixing = np.where(downhill > 5, 0.99 * mixing, mixing)
        velocity = np.where(is_down, velocity, 0) + step * force
        steered = _norm(velocity) / np.maximum(size, 1e-300) * force
        velocity = (1 - mixing) * velocity + mixing * steered
        points = np.clip(points + step * velocity, 0, 1)
    return points


def _repulsion(points, pairs, diameters):
    """Returns the force on each point: the sum of its overlaps."""
    start, first, second = pairs
    flat = points.reshape(-1, 3)
    offset = flat[first] - flat[second]
    distance = np.sqrt(np.einsum("ij,ij->i", offset, offset)) + 1e-12
    overlap = np.maximum(diameters[start] - distance, 0)
    push = offset * (overlap / distance)[:, None]
    columns = [
        np.bincount(first, column, len(flat))
        - np.bincount(second, column, len(flat))
        for column in push.T
    ]
    return np.stack(columns, axis=1).reshape(points.shape)


def _near_pairs(points, reach):
    """Returns the start of each near pair and its two rows of points."""
    is_near = np.triu(_distances(points) < reach[:, None, None])
    start, first, second = np.nonzero(is_near)
    offset = start * points.shape[1]
    return start, offset + first, offset + second


def _distances(points):
    """Returns `(starts, num_points, num_points)`, infinite to itself."""
    offsets = points[:, :, None] - points[:, None]
    squared = np.einsum("sijc,sijc->sij", offsets, offsets)
    own = np.arange(points.shape[1])
    squared[:, own, own] = np.inf
    return np.sqrt(squared)


def _smallest(distances, is_loose):
    """Returns the smallest distance in which a loose point takes part."""
    if is_loose is not None:
        distances = distances[:, is_loose]
    return distances.min(axis=(1, 2))


def _slide(points, vectors):
    """Drops the components that point out of the cube."""
    leaves = (points <= 0) & (vectors < 0) | (points >= 1) & (vectors > 0)
    return np.where(leaves, 0, vectors)


def _dot(a, b):
    return np.sum(a * b, axis=(1, 2), keepdims=True)


def _norm(vectors):
    return np.sqrt(_dot(vectors, vectors))
