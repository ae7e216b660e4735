"""Paint masks with colors, lay them over photos, write pictures."""

import contextlib
import os
import pathlib

import numpy as np

from gss_keras.data import catalog
from gss_keras.maskige import palettes


def paint(mask, palette, ignore_color=(0, 0, 0)):
    """Paint a mask with the colors of its classes, for the eye.

    Args:
        mask: Int array of shape `(height, width)`; ids outside the palette,
            255 among them, get the `ignore_color`.
        palette: Array of shape `(num_classes, 3)`, RGB 0-255.
        ignore_color: RGB 0-255.

    Returns:
        Uint8 array of shape `(height, width, 3)`, RGB 0-255.

    Example:
        >>> paint([[1, 255]], [[9, 9, 9], [255, 0, 0]]).tolist()
        [[[255, 0, 0], [0, 0, 0]]]
    """
    colors = np.vstack([palette, [ignore_color]]).astype("uint8")
    mask = np.asarray(mask).astype(int)  # -1 does not fit a uint8
    return colors[np.where((mask >= 0) & (mask < len(palette)), mask, -1)]


def overlay(photo, mask, palette, opacity=0.5):
    """Lay a painted mask over its photo.

    Args:
        photo: Array of shape `(height, width, 3)`, RGB 0-255.
        mask: Int array of shape `(height, width)`.
        palette: Array of shape `(num_classes, 3)`, RGB 0-255.
        opacity: Weight of the mask, from 0 to 1.

    Returns:
        Uint8 array of shape `(height, width, 3)`, RGB 0-255.
    """
    photo = np.asarray(photo, "float32")
    mixed = (1 - opacity) * photo + opacity * paint(mask, palette)
    return mixed.round().astype("uint8")


def colors_for(segmenter):
    """Choose the colors in which people are shown a segmenter's masks.

    Where the classes are those of a data set, its usual colors, which people
    may know; else the segmenter's own palette, or colors as far apart as
    possible where it has none.

    Args:
        segmenter: A `GenerativeSegmenter` or `DiscriminativeSegmenter`.

    Returns:
        Float array of shape `(num_classes, 3)`, RGB 0-255.
    """
    for name in catalog.names() if segmenter.classes else ():
        card = catalog.card(name)
        if card.classes == segmenter.classes:
            return card.colors.astype("float32")
    if hasattr(segmenter, "posterior"):
        return np.asarray(segmenter.posterior.palette)
    return palettes.maximal_distance(segmenter.num_classes)


def save(picture, path):
    """Write a picture as a file, whole or not at all, creating its folder.

    Args:
        picture: Uint8 array of shape `(height, width, 3)`, RGB 0-255, or
            uint8 or uint16 `(height, width)`, such as a mask of class ids.
        path: Path of the file; `.jpg` makes it a JPEG file, without the
            exact values, `.png` a PNG file.

    Raises:
        OSError: If it cannot be written.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(encode(picture, path.suffix))
        os.replace(partial, path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def encode(picture, suffix=".png"):
    """Return the bytes of a picture file.

    Args:
        picture: As for `save`.
        suffix: ".png", or ".jpg" or ".jpeg".

    Returns:
        Bytes.

    Example:
        >>> encode(np.zeros((2, 2, 3), "uint8"))[1:4]
        b'PNG'
    """
    import io

    from PIL import Image

    file = io.BytesIO()
    is_jpeg = suffix.lower() in (".jpg", ".jpeg")
    options = {"format": "JPEG", "quality": 90} if is_jpeg else {}
    Image.fromarray(np.asarray(picture)).save(
        file, **({"format": "PNG"} | options)
    )
    return file.getvalue()


def as_uint8(picture):
    """Return a picture of floats in [0, 1] or of bytes as bytes."""
    picture = np.asarray(picture)
    if picture.dtype == np.uint8:
        return picture
    return (255 * np.clip(picture, 0, 1)).round().astype("uint8")


def font(size):
    """Return Pillow's own font in a size in pixels."""
    from PIL import ImageFont

    return ImageFont.load_default(size)
