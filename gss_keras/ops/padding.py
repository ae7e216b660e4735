"""Pad and crop photos, masks and feature maps."""

from keras import ops


def pad_edges(photos, multiple):
    """Pad photos by edge replication to multiples of a size.

    Each position of a backbone's coarse feature map covers a whole cell of
    pixels. If a photo ended within a cell, resizing the feature map to the
    size of the photo would shift its content.

    Args:
        photos: Tensor of shape `(batch, height, width, channels)`.
        multiple: Integer of at least 1.

    Returns:
        Tensor of shape `(batch, rows, columns, channels)`, with the photos at
        the top left.

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
    """Pad masks with a constant to multiples of a size.

    Args:
        value: Integer to pad with.
        masks: Int tensor of shape `(batch, height, width)`.
        multiple: Integer of at least 1.

    Returns:
        Tensor of shape `(batch, rows, columns)`, with the masks at the top
        left.

    Example:
        >>> from keras import ops
        >>> pad_with(255, ops.zeros((1, 5, 8), "int32"), 4).shape == (1, 8, 8)
        True
    """
    height, width = ops.shape(masks)[1], ops.shape(masks)[2]
    margins = [[0, 0], [0, -height % multiple], [0, -width % multiple]]
    return ops.pad(masks, margins, constant_values=value)


def crop(maps, height, width):
    """Crop feature maps at the bottom and the right.

    On TensorFlow, the gradient of `ops.slice` is ten times faster than that of
    a Python slice.

    Args:
        maps: Tensor of shape `(batch, rows, columns, channels)`.
        height: Rows to keep; integer or scalar integer tensor.
        width: Columns to keep; integer or scalar integer tensor.

    Returns:
        Tensor of shape `(batch, height, width, channels)`.
    """
    batch, rows, columns, channels = ops.shape(maps)
    sides = rows, columns, height, width
    is_known = all(isinstance(side, int) for side in sides)
    if is_known and (rows, columns) == (height, width):
        return maps
    return ops.slice(maps, (0, 0, 0, 0), (batch, height, width, channels))


def pad_for_kernel(maps, kernel_size, strides):
    """Pad feature maps with zeros as TensorFlow's "same" convolutions do.

    Args:
        maps: Tensor of shape `(batch, height, width, channels)` whose height
            and width are known.
        kernel_size: Rows and columns of the kernel.
        strides: Vertical and horizontal stride in positions.

    Returns:
        The padded feature maps, and the number of rows and columns of the
        convolution's output.

    Example:
        >>> from keras import ops
        >>> padded, counts = pad_for_kernel(
        ...     ops.ones((1, 8, 5, 1)), (3, 3), (2, 1)
        ... )
        >>> tuple(padded.shape), counts
        ((1, 9, 7, 1), (4, 5))
    """
    counts, pads = zip(
        *map(_count_and_pad, maps.shape[1:3], kernel_size, strides),
        strict=True,
    )
    return ops.pad(maps, ((0, 0), *pads, (0, 0))), counts


def _count_and_pad(size, kernel, stride):
    """Return the output size along an axis, and the padding on both sides."""
    count = -(-size // stride)
    total = max((count - 1) * stride + kernel - size, 0)
    return count, (total // 2, total - total // 2)
