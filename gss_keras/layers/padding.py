"""Bring photos and masks to sizes that a stride divides."""

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


def pad_with(value, masks, multiple):
    """Add rows and columns until height and width are multiples.

    Args:
        value: Integer to fill them with.
        masks: Int tensor of shape `(batch, height, width)`.
        multiple: Integer of at least 1.

    Returns:
        Tensor of shape `(batch, rows, columns)`: the masks, at the top left.

    Example:
        >>> from keras import ops
        >>> pad_with(255, ops.zeros((1, 5, 8), "int32"), 4).shape == (1, 8, 8)
        True
    """
    height, width = ops.shape(masks)[1], ops.shape(masks)[2]
    margins = [[0, 0], [0, -height % multiple], [0, -width % multiple]]
    return ops.pad(masks, margins, constant_values=value)
