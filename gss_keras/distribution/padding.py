"""Pad arrays to multiples of the number of devices."""

import math

import numpy as np

from gss_keras.distribution.devices import batch_devices


def pad_to_devices(x, y=None, batch_size=None):
    """Pad the batch axis of arrays to a multiple of JAX's devices.

    Args:
        x: Photos `(n, height, width, 3)` or masks `(n, height, width)`.
            Anything but an array is returned unchanged.
        y: Masks or None.
        batch_size: Number of samples in a batch, or None.

    Returns:
        `x` and `y`, padded with some of their own photos and with masks whose
        pixels are all ignored, and the batch size, rounded up to a multiple.
    """
    count = batch_devices()
    if count == 1 or not isinstance(x, np.ndarray):
        return x, y, batch_size
    extra = np.arange(-len(x) % count) % len(x)
    if y is not None:
        y = np.concatenate([y, np.full_like(y[extra], 255)])
    padding = x[extra] if x.ndim == 4 else np.full_like(x[extra], 255)
    batch_size = math.ceil((batch_size or 32) / count) * count
    return np.concatenate([x, padding]), y, batch_size
