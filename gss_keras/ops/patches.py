"""Split masks into patches, the square of pixels of each token."""

from keras import ops

from gss_keras.ops.padding import pad_with


def pad_to_patches(masks, num_classes, stride):
    """Pad masks to whole patches, and set ignored pixels to the id K.

    Args:
        masks: Int tensor of shape `(batch, height, width)`.
        num_classes: Number of classes K.
        stride: Side of a patch in pixels.

    Returns:
        Int32 tensor of shape `(batch, rows * stride, columns * stride)`, ids
        in `[0, K]`, where K is the id of ignored pixels and of the padding,
        below and to the right.
    """
    ids = ops.cast(masks, "int32")
    is_known = (ids >= 0) & (ids < num_classes)
    return pad_with(num_classes, ops.where(is_known, ids, num_classes), stride)


def space_to_depth(ids, stride):
    """Move the pixels of each patch to channels, row by row.

    Args:
        ids: Tensor of shape `(batch, rows * stride, columns * stride)`.
        stride: Side of a patch in pixels.

    Returns:
        Tensor of shape `(batch, rows, columns, stride * stride)`.

    Example:
        >>> from keras import ops
        >>> patches = space_to_depth(ops.reshape(ops.arange(8), (1, 2, 4)), 2)
        >>> ops.convert_to_numpy(patches[0, 0]).tolist()
        [[0, 1, 4, 5], [2, 3, 6, 7]]
    """
    _, height, width = ops.shape(ids)
    rows, columns = height // stride, width // stride
    patches = ops.reshape(ids, (-1, rows, stride, columns, stride))
    patches = ops.transpose(patches, (0, 1, 3, 2, 4))
    return ops.reshape(patches, (-1, rows, columns, stride**2))
