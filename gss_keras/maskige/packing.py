"""Maximize the smallest pairwise distance of points in a cube: sphere packing.

Equal spheres around the points are inflated until they jam. A soft repulsion
separates overlapping spheres; their diameter grows as long as all overlaps
vanish, and is bisected afterwards. Many starts are optimized as one batch,
some of them lattices, because the best known packings of 14, 32 or 194 points
are lattices that random starts hardly ever find. A search takes seconds.

Arrays of points have the shape `(starts, num_points, 3)`, in the unit cube.
"""

import numpy as np

from gss_keras.maskige.lattices import lattices

_CONTACT = 1e-4  # relative tolerance for two spheres in contact


def spread_points(num_points, num_starts=None, seed=0):
    """Search for points in the unit cube with maximal smallest distance.

    Points that are not in contact with others ("rattlers") are then moved
    until their own smallest distances are maximal, too.

    Args:
        num_points: Integer of at least 2.
        num_starts: Number of random starts, in addition to the lattices;
            defaults to 96, and to fewer for more than 25 points.
        seed: Integer. The same arguments give the same points; a search can
            be continued with other seeds.

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
        _lattice_starts(num_points, 8, seed),
        _random_starts(num_points, num_starts, seed),
    ):
        candidate, reached = _jam(points, diameters, at_least=distance)
        if candidate is not None:
            best, distance = candidate, reached
    best, distance = _polish(best, distance)
    return _move_rattlers(best, distance)


def smallest_distance(points):
    """Return the smallest distance between two points.

    Args:
        points: Array `(num_points, 3)`, any unit.

    Returns:
        A Python float in the unit of the points; infinity for one point.
    """
    return float(_distances(np.asarray(points, "float64")[None]).min())


def _random_starts(num_points, num_starts, seed):
    rng = np.random.default_rng([num_points, seed])
    # The diameter d of n close-packed spheres, of volume n d^3 / sqrt(2), that
    # fill the unit cube, corrected for the halves of spheres outside of it.
    # Ten percent less, so that the points spread before the spheres jam.
    edge = 0.9 * (np.sqrt(2) / num_points) ** (1 / 3)
    diameter = edge / (1 - 0.6 * edge)
    points = rng.random((num_starts, num_points, 3))
    return points, np.full(num_starts, diameter)


def _lattice_starts(num_points, num_lattices, seed):
    """Return the best lattices, each with two random subsets of its points."""
    rng = np.random.default_rng([num_points, seed])
    points = [
        rng.permutation(lattice)[:num_points]
        for lattice in lattices(num_points)[:num_lattices]
        for _ in range(2)
    ]
    points = np.stack(points)
    return points, _smallest(_distances(points), None)


def _polish(points, distance):
    """Refine one packing to high precision, from several diameters."""
    diameters = distance * np.array([1, 1.0003, 1.001, 1.003, 1.01, 1.03])
    copies = np.repeat(points[None], len(diameters), axis=0)
    polished, reached = _jam(
        copies, diameters, at_least=distance, precision=1e-8, growth=1.0001
    )
    return (points, distance) if polished is None else (polished, reached)


def _move_rattlers(points, distance, rounds=6):
    """Maximize the smallest distance of rattlers, points without contact."""
    is_rattler = np.ones(len(points), bool)
    for _ in range(rounds):
        nearest = _distances(points[None])[0].min(axis=1)
        is_rattler &= nearest > distance * (1 + _CONTACT)
        if not is_rattler.any():
            break
        start = np.array([nearest[is_rattler].min()])
        points, distance = _jam(points[None], start, is_movable=is_rattler)
    return points


def _jam(
    points,
    diameters,
    at_least=0.0,
    precision=2e-5,
    growth=1.02,
    is_movable=None,
):
    """Inflate spheres around the points of each start until they jam.

    Once its diameter no longer grows, it is an upper bound of the distance
    that a start can reach. The start is dropped if the bound falls below the
    best distance so far.

    Args:
        points: Float `(starts, num_points, 3)`.
        diameters: Float `(starts,)`, the initial diameters.
        at_least: Distance to exceed.
        precision: Relative precision of the final diameters.
        growth: Factor of the diameter per step.
        is_movable: Bool `(num_points,)`, or None for all. Other points are
            fixed, and distances between them are ignored.

    Returns:
        The best points `(num_points, 3)` and their smallest distance; or
        None and `at_least` if no start exceeds that.
    """
    best, best_distance = None, at_least
    grows = np.ones(len(points), bool)
    while len(points):
        distances = _smallest(_distances(points), is_movable)
        first = distances.argmax()
        if distances[first] > best_distance:
            best, best_distance = points[first], distances[first]
        tolerance = min(1e-5, precision)
        points = _push_apart(points, diameters, is_movable, tolerance)
        distances = _smallest(_distances(points), is_movable)
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


def _push_apart(points, diameters, is_movable, tolerance, steps=200):
    """Minimize the squared overlaps of the spheres of each start.

    Reference:
        Bitzek et al., "Structural relaxation made simple", 2006 (FIRE); the
        constants are theirs.
    """
    velocity = np.zeros_like(points)
    step = np.full((len(points), 1, 1), 0.1)
    mixing, downhill = step.copy(), np.zeros_like(step)
    # The list of near pairs is updated once points have moved.
    listed, cutoff = None, 1.3 * diameters
    for _ in range(steps):
        if listed is None or np.abs(points - listed).max() > 0.05 * min(cutoff):
            listed, pairs = points, _near_pairs(points, cutoff)
        force = _project(points, _repulsion(points, pairs, diameters))
        if is_movable is not None:
            force *= is_movable[:, None]
        size = _norm(force)
        if np.all(size[:, 0, 0] < tolerance * diameters):
            break
        velocity = _project(points, velocity)
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
    """Return the force on each point, the sum over its overlaps."""
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


def _near_pairs(points, cutoff):
    """Return the start and the two flat point indices of each near pair."""
    is_near = np.triu(_distances(points) < cutoff[:, None, None])
    start, first, second = np.nonzero(is_near)
    offset = start * points.shape[1]
    return start, offset + first, offset + second


def _distances(points):
    """Return all distances of each start, infinite on the diagonal.

    Returns:
        Float `(starts, num_points, num_points)`.
    """
    offsets = points[:, :, None] - points[:, None]
    squared = np.einsum("sijc,sijc->sij", offsets, offsets)
    diagonal = np.arange(points.shape[1])
    squared[:, diagonal, diagonal] = np.inf
    return np.sqrt(squared)


def _smallest(distances, is_movable):
    """Return each restart's smallest distance, over the optimized points."""
    if is_movable is not None:
        distances = distances[:, is_movable]
    return distances.min(axis=(1, 2))


def _project(points, vectors):
    """Zero the components that point out of the cube, at its faces."""
    is_outward = (points <= 0) & (vectors < 0) | (points >= 1) & (vectors > 0)
    return np.where(is_outward, 0, vectors)


def _dot(a, b):
    return np.sum(a * b, axis=(1, 2), keepdims=True)


def _norm(vectors):
    return np.sqrt(_dot(vectors, vectors))
