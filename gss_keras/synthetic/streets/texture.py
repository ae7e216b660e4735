"""Smooth noise, the stuff that asphalt, leaves and clouds are made of."""

import functools

import numpy as np

_SIZE = 256


def noise(u, v):
    """Look up smooth noise.

    The noise repeats every 256 units; its finest detail is 2 units wide and
    its coarsest 64.

    Args:
        u: Float array of any shape.
        v: Float array of the same shape.

    Returns:
        Float array of the same shape, 0 to 1, mean 0.5.
    """
    rows = u.astype("int32") & (_SIZE - 1)
    columns = v.astype("int32") & (_SIZE - 1)
    return _field().take(rows * _SIZE + columns)


@functools.cache
def _field():
    """Return the noise, float32 `(256, 256)`, seamless at its ends."""
    generator = np.random.default_rng(0)
    field = np.zeros((_SIZE, _SIZE))
    for cells, weight in ((4, 1.0), (8, 0.8), (16, 0.7), (32, 0.6), (128, 0.5)):
        corners = generator.random((cells, cells))
        corners = np.pad(corners, ((0, 1), (0, 1)), mode="wrap")
        at = np.arange(_SIZE) * cells / _SIZE
        low = at.astype(int)
        part = at - low
        part = part * part * (3 - 2 * part)
        rows = (
            corners[low] * (1 - part)[:, None]
            + corners[low + 1] * part[:, None]
        )
        field += weight * (rows[:, low] * (1 - part) + rows[:, low + 1] * part)
    ranks = np.argsort(np.argsort(field, axis=None)).reshape(field.shape)
    # Equal shares of all values, so that a threshold is a share of the area.
    return (ranks / ranks.max()).astype("float32")
