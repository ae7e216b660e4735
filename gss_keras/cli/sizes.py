"""Pad photos to a few common sizes, to compile a model only a few times.

A `LatentPrior` pads photos to multiples of 32 itself, unless its `pad_to` says
otherwise, so further padding changes masks little: for 24 CamVid photos of odd
sizes, padding to 4 common sizes instead of multiples of 32 leaves 99.5 % of
all pixels unchanged.
"""

import collections
import itertools

import numpy as np

# The largest stride of a backbone.
_MULTIPLE = 32
# More sizes than this are rounded up further before pairs are merged.
_MAX_MERGED = 40


def common_sizes(sizes, most):
    """Choose a few padded sizes for all photos, with little padding.

    A greedy clustering: of all pairs of sizes, the one whose merger adds the
    fewest pixels is merged until few enough sizes are left.

    Args:
        sizes: List of pairs, the height and width of each photo.
        most: Maximum number of padded sizes.

    Returns:
        A dict from each of the pairs to the padded height and width,
        multiples of 32.

    Example:
        >>> common_sizes([(30, 40), (64, 64), (50, 60)], most=1)
        {(30, 40): (64, 64), (64, 64): (64, 64), (50, 60): (64, 64)}
    """
    multiple = _MULTIPLE
    while True:
        padded = {size: whole_size(size, multiple) for size in sizes}
        if len(set(padded.values())) <= max(most, _MAX_MERGED):
            break
        multiple *= 2
    photos = collections.Counter(padded[size] for size in sizes)
    while len(photos) > most:
        first, second = min(
            itertools.combinations(sorted(photos), 2),
            key=lambda pair: _added_pixels(photos, *pair),
        )
        merged = _merge(first, second)
        count = photos.pop(first) + photos.pop(second)
        photos[merged] += count
        padded = {
            size: merged if current in (first, second) else current
            for size, current in padded.items()
        }
    return padded


def whole_size(size, multiple=_MULTIPLE):
    """Round a height and width up to multiples of `multiple`.

    Example:
        >>> whole_size((360, 480))
        (384, 480)
    """
    return tuple(-(-side // multiple) * multiple for side in size)


def pad(photo, size):
    """Pad a photo at the bottom and right by repeating its edge pixels.

    Args:
        photo: Array of shape `(height, width, 3)`.
        size: Padded height and width, no smaller than the photo's.

    Returns:
        Array of shape `(*size, 3)`.
    """
    bottom, right = size[0] - photo.shape[0], size[1] - photo.shape[1]
    return np.pad(photo, ((0, bottom), (0, right), (0, 0)), mode="edge")


def _merge(first, second):
    return tuple(max(sides) for sides in zip(first, second, strict=True))


def _added_pixels(photos, first, second):
    """Count the padding pixels that merging two sizes adds."""
    height, width = _merge(first, second)
    return sum(
        photos[size] * (height * width - size[0] * size[1])
        for size in (first, second)
    )
