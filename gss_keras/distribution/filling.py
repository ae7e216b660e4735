"""Make arrays divide by the devices."""

import math

import numpy as np

from gss_keras.distribution.devices import batch_devices


def fill_up(x, y=None, batch_size=None):
    """Make arrays divide by JAX's devices; anything else is left alone.

    Args:
        x: Photos `(n, height, width, 3)` or masks `(n, height, width)`, or no
            array.
        y: Masks or None.
        batch_size: Number of photos in a batch, or None.

    Returns:
        `x` and `y`, followed by some of their photos with all pixels ignored,
        and the next batch size that divides.
    """
    count = batch_devices()
    if count == 1 or not isinstance(x, np.ndarray):
        return x, y, batch_size
    extra = np.arange(-len(x) % count) % len(x)
    if y is not None:
        y = np.concatenate([y, np.full_like(y[extra], 255)])
    filling = x[extra] if x.ndim == 4 else np.full_like(x[extra], 255)
    batch_size = math.ceil((batch_size or 32) / count) * count
    return np.concatenate([x, filling]), y, batch_size
