"""Bring photos to sizes that every stride of a backbone divides."""

from keras import ops


def pad_edges(photos, multiple):
    """Repeat the last row and column until height and width are multiples.

    A backbone's coarse maps have whole cells only. Where the photo ends
    within one, that cell would be stretched over the pixels that are there,
    and all that the map says would be moved.

    Args:
        photos: Tensor of shape `(batch, height, width, channels)`.
        multiple: Integer of at least 1.

    Returns:
        Tensor of shape `(batch, rows, columns, channels)`: the photos, at the
        top left.

    Example:
        >>> from keras import ops
        >>> pad_edges(ops.ones((1, 5, 8, 3)), 4).shape == (1, 8, 8, 3)
        True
    """
    for axis in (1, 2):
        size = ops.shape(photos)[axis]
        if isinstance(size, int) and size % multiple == 0:
            continue
        places = ops.arange(size + -size % multiple)
        photos = ops.take(photos, ops.minimum(places, size - 1), axis=axis)
    return photos
