"""Annotation noise for synthetic label maps: rough edges and void pixels."""

import numpy as np
from PIL import Image

from gss_keras.constants import IGNORE_LABEL


def smooth_noise(rng, height, width, cell):
    """Generate smooth value noise with unit variance.

    Gaussian noise on a coarse grid, upsampled bicubically.

    Args:
        rng: `numpy.random.Generator`.
        height: int. Height in pixels.
        width: int. Width in pixels.
        cell: float. Grid spacing in pixels.

    Returns:
        float32 `(height, width)`.
    """
    rows = max(2, round(height / cell) + 1)
    columns = max(2, round(width / cell) + 1)
    grid = Image.fromarray(rng.normal(size=(rows, columns)).astype("float32"))
    noise = np.asarray(grid.resize((width, height), Image.BICUBIC))
    return noise / (noise.std() + 1e-6)


def roughen(regions, rng):
    """Distort region boundaries like an imprecise annotator.

    Warps the map with smooth displacements and shifts single pixels.

    Args:
        regions: uint8 `(height, width)`. Region ids.
        rng: `numpy.random.Generator`.

    Returns:
        uint8 `(height, width)`.
    """
    height, width = regions.shape
    rows, columns = np.mgrid[:height, :width].astype("float32")
    for cell in (24, 6):
        strength = 1.5 * rng.uniform() ** 2
        rows += strength * smooth_noise(rng, height, width, cell)
        columns += strength * smooth_noise(rng, height, width, cell)
    is_ragged = smooth_noise(rng, height, width, 40) > rng.uniform(0.3, 2.5)
    jitter = rng.normal(0, rng.uniform(0.3, 1.2), (2, height, width))
    weak = rng.uniform(0.0, 0.25)
    rows += jitter[0] * np.where(is_ragged, 1, weak)
    columns += jitter[1] * np.where(is_ragged, 1, weak)
    rows = np.clip(np.rint(rows), 0, height - 1).astype(int)
    columns = np.clip(np.rint(columns), 0, width - 1).astype(int)
    return regions[rows, columns]


def add_void(regions, rng):
    """Set some boundaries, single pixels and patches to void.

    Args:
        regions: uint8 `(height, width)`. Region ids.
        rng: `numpy.random.Generator`.

    Returns:
        uint8 `(height, width)`, 255 for void pixels.
    """
    height, width = regions.shape
    if rng.uniform() < 0.5:
        is_edge = np.zeros((height, width), bool)
        is_edge[:, 1:] = regions[:, 1:] != regions[:, :-1]
        is_edge[1:] |= regions[1:] != regions[:-1]
        is_void = smooth_noise(rng, height, width, 30) > rng.uniform(0.5, 2)
        regions = np.where(is_edge & is_void, IGNORE_LABEL, regions)
    if rng.uniform() < 0.5:
        is_void = rng.uniform(size=(height, width)) < 10 ** rng.uniform(-5, -3)
        regions = np.where(is_void, IGNORE_LABEL, regions)
    if rng.uniform() < 0.4:
        noise = smooth_noise(rng, height, width, rng.uniform(5, 40))
        regions = np.where(noise > rng.uniform(2, 3), IGNORE_LABEL, regions)
    return regions.astype("uint8")
