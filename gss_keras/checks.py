"""Validate photos, masks, class names and sizes at the public boundary."""

import numpy as np

from gss_keras.constants import IGNORE_LABEL


def check_photos(photos):
    """Check a photo or a batch of photos and return it as an array.

    Args:
        photos: Array of shape `(height, width, 3)` or
            `(batch, height, width, 3)`, uint8 or float, raw pixels 0-255.

    Returns:
        The photos as a NumPy array.

    Raises:
        ValueError: If the shape or dtype is another one, there is no pixel or
            a value lies outside 0-255.
    """
    array = np.asarray(photos)
    shape = array.shape
    if len(shape) not in (3, 4) or shape[-1] != 3 or 0 in shape:
        raise ValueError(
            "`photos` must be RGB with shape (height, width, 3) or (batch, "
            "height, width, 3) and at least one pixel. Convert gray photos "
            "with `photo.convert('RGB')`, and so drop an alpha channel. "
            f"Received: photos.shape={shape}"
        )
    if array.dtype.kind not in "uif":
        raise ValueError(
            "`photos` must be uint8 or float pixels. "
            f"Received: photos.dtype={array.dtype}"
        )
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 255):
        raise ValueError(
            "`photos` must hold raw pixels from 0 to 255; normalisation is "
            f"part of the model. Received: values from {low} to {high}"
        )
    return array


def check_masks(masks, num_classes):
    """Check that every id of a mask is a class or the ignore label.

    A compiled model treats any other id as ignored, so mistakes have to be
    caught before the masks reach it.

    Args:
        masks: Int array-like `(height, width)` or `(batch, height, width)`,
            not empty; ids in `[0, num_classes)` or 255 for ignore.
        num_classes: Integer, the number of classes.

    Returns:
        The masks, an int32 NumPy array of the same shape.

    Raises:
        ValueError: If the dtype is not an integer, the rank is another, the
            array is empty or an id lies outside.

    Example:
        >>> check_masks([[0, 1], [1, 255]], num_classes=2).dtype
        dtype('int32')
    """
    masks = np.asarray(masks)
    if masks.ndim not in (2, 3) or not masks.size:
        raise ValueError(
            "`masks` must be `(height, width)` or `(batch, height, width)`, "
            "without a channel axis and not empty. "
            f"Received: masks of shape {masks.shape}"
        )
    if not np.issubdtype(masks.dtype, np.integer):
        raise ValueError(
            "`masks` must hold integer class ids. "
            f"Received: masks of dtype {masks.dtype}"
        )
    is_valid = (masks >= 0) & (masks < num_classes) | (masks == IGNORE_LABEL)
    if not is_valid.all():
        invalid = np.unique(masks[~is_valid])[:10].tolist()
        raise ValueError(
            f"`masks` must hold ids from 0 to {num_classes - 1}, or "
            f"{IGNORE_LABEL} for ignore. Received: ids {invalid}"
        )
    return masks.astype("int32")


def check_pair(photos, masks, num_classes):
    """Check a batch of photos and the masks that belong to it.

    Args:
        photos: Array of shape `(batch, height, width, 3)`, 0-255.
        masks: Int array of shape `(batch, height, width)`, ids in
            `[0, num_classes)` or 255 (ignore).
        num_classes: Number of classes K.

    Raises:
        ValueError: If one of them is malformed or their sizes differ.
    """
    photos, masks = check_photos(photos), np.asarray(masks)
    check_masks(masks, num_classes)
    if photos.shape[:-1] != masks.shape:
        raise ValueError(
            "`masks` must have the size of `photos`, one id for each pixel. "
            f"Received: photos.shape={photos.shape}, masks.shape={masks.shape}"
        )


def check_classes(classes, num_classes):
    """Check class names and return them as a tuple.

    Args:
        classes: Sequence of strings, in the order of the ids.
        num_classes: Number of classes K.

    Returns:
        A tuple of `num_classes` strings.

    Raises:
        ValueError: If they are not one string for each class.

    Example:
        >>> check_classes(["sky", "road"], 2)
        ('sky', 'road')
    """
    names = () if isinstance(classes, str) else tuple(classes)
    are_strings = all(isinstance(name, str) for name in names)
    if not are_strings or len(names) != num_classes:
        raise ValueError(
            "`classes` must be one name for each class, here "
            f"{num_classes} strings. Received: classes={classes!r}"
        )
    return names


def check_count(name, value):
    """Check that an argument is a positive integer.

    Args:
        name: Name of the argument.
        value: Value of the argument.

    Raises:
        ValueError: If it is not a positive integer.
    """
    if not isinstance(value, int) or value < 1:
        raise ValueError(
            f"`{name}` must be a positive integer. Received: {name}={value!r}"
        )


def check_counts(name, values, length):
    """Check that an argument is a list of positive integers.

    Args:
        name: Name of the argument.
        values: Value of the argument.
        length: Required length of the list.

    Returns:
        The values as a list.

    Raises:
        ValueError: If it is not a list or tuple of that length, or a value
            is not a positive integer.
    """
    if (
        not isinstance(values, list | tuple)
        or len(values) != length
        or not all(isinstance(v, int) and v > 0 for v in values)
    ):
        raise ValueError(
            f"`{name}` must be a list of {length} positive integers. "
            f"Received: {name}={values!r}"
        )
    return list(values)
