"""Refuse photos and names that no model could answer to."""

import numpy as np


def check_photos(photos):
    """Check one photo or a batch of photos and return it as an array.

    Args:
        photos: Array of shape `(height, width, 3)` or
            `(batch, height, width, 3)`, uint8 or float, raw pixels 0-255.

    Returns:
        The same as an array.

    Raises:
        ValueError: If the shape or kind is another one, there is no pixel or
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


def check_pair(photos, masks, num_classes):
    """Check that masks belong to photos.

    Args:
        photos: Array of shape `(batch, height, width, 3)`, 0-255.
        masks: Int array of shape `(batch, height, width)`, ids in
            `[0, num_classes)` or 255 (ignore).
        num_classes: Number of classes K.

    Raises:
        ValueError: If one of them is malformed or their sizes differ.
    """
    from gss_keras.maskige import check_masks

    photos, masks = check_photos(photos), np.asarray(masks)
    check_masks(masks, num_classes)
    if photos.shape[:-1] != masks.shape:
        raise ValueError(
            "`masks` must have the size of `photos`, one id for each pixel. "
            f"Received: photos.shape={photos.shape}, masks.shape={masks.shape}"
        )


def check_classes(classes, num_classes):
    """Check the names of classes and return them as a tuple.

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
