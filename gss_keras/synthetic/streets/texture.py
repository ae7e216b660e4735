"""Value noise, the procedural texture of asphalt, leaves and clouds."""

import functools

import numpy as np

_SIZE = 256


def noise(u, v):
    """Sample multi-octave value noise.

    The noise is periodic with period 256. Its wavelengths range from 2 to 64
    units.

    Args:
        u: Float array of any shape, the first coordinate.
        v: Float array of the same shape, the second coordinate.

    Returns:
        Float array of the same shape, uniformly distributed in [0, 1].
    """
    rows = u.astype("int32") & (_SIZE - 1)
    columns = v.astype("int32") & (_SIZE - 1)
    return _field().take(rows * _SIZE + columns)


@functools.cache
def _field():
    """Return one period of the noise, float32 `(256, 256)`."""
    generator = np.random.default_rng(0)
    field = np.zeros((_SIZE, _SIZE))
    for cells, weight in ((4, 1.0), (8, 0.8), (16, 0.7), (32, 0.6), (128, 0.5)):
        corners = generator.random((cells, cells))
        corners = np.pad(corners, ((0, 1), (0, 1)), mode="wrap")
        at = np.arange(_SIZE) * cells / _SIZE
        low = at.astype(int)
        t = at - low
        # Smoothstep interpolation.
        t = t * t * (3 - 2 * t)
        rows = corners[low] * (1 - t)[:, None] + corners[low + 1] * t[:, None]
        field += weight * (rows[:, low] * (1 - t) + rows[:, low + 1] * t)
    ranks = np.argsort(np.argsort(field, axis=None)).reshape(field.shape)
    # Equalize the histogram, so that a threshold equals a fraction of the area.
    return (ranks / ranks.max()).astype("float32")
