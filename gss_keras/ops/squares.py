"""The squares of a mask, one for each token."""

from keras import ops

from gss_keras.ops.padding import pad_with


def whole_squares(masks, num_classes, stride):
    """Pad masks to whole squares, and give what is no class one id.

    Args:
        masks: Int tensor of shape `(batch, height, width)`.
        num_classes: Number of classes K.
        stride: Side of a square in pixels.

    Returns:
        Int32 tensor of shape `(batch, rows * stride, columns * stride)`, ids
        in `[0, K]`, where K stands for ignored pixels and for the padding,
        below and to the right.
    """
    ids = ops.cast(masks, "int32")
    is_known = (ids >= 0) & (ids < num_classes)
    return pad_with(num_classes, ops.where(is_known, ids, num_classes), stride)


def fold_squares(ids, stride):
    """Lay the pixels of each square out as channels, row by row.

    Args:
        ids: Tensor of shape `(batch, rows * stride, columns * stride)`.
        stride: Side of a square in pixels.

    Returns:
        Tensor of shape `(batch, rows, columns, stride * stride)`.

    Example:
        >>> from keras import ops
        >>> squares = fold_squares(ops.reshape(ops.arange(8), (1, 2, 4)), 2)
        >>> ops.convert_to_numpy(squares[0, 0]).tolist()
        [[0, 1, 4, 5], [2, 3, 6, 7]]
    """
    _, height, width = ops.shape(ids)
    rows, columns = height // stride, width // stride
    squares = ops.reshape(ids, (-1, rows, stride, columns, stride))
    squares = ops.transpose(squares, (0, 1, 3, 2, 4))
    return ops.reshape(squares, (-1, rows, columns, stride**2))
