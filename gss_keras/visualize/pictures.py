"""Paint masks, overlay them on photos, and encode and save images."""

import contextlib
import os
import pathlib

import numpy as np

from gss_keras.data import catalog
from gss_keras.maskige import palettes


def paint(mask, palette, ignore_color=(0, 0, 0)):
    """Paint a mask with the colors of its classes, for display.

    Args:
        mask: Int array of shape `(height, width)`. Ids outside the palette,
            such as 255, get the `ignore_color`.
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
    """Blend a painted mask with its photo.

    Args:
        photo: Array of shape `(height, width, 3)`, RGB 0-255.
        mask: Int array of shape `(height, width)`.
        palette: Array of shape `(num_classes, 3)`, RGB 0-255.
        opacity: Opacity of the mask, from 0 to 1.

    Returns:
        Uint8 array of shape `(height, width, 3)`, RGB 0-255.
    """
    photo = np.asarray(photo, "float32")
    blended = (1 - opacity) * photo + opacity * paint(mask, palette)
    return blended.round().astype("uint8")


def colors_for(segmenter):
    """Return the colors for displaying a segmenter's masks.

    If the classes are those of a data set in the catalog, its customary
    colors. Otherwise the segmenter's own palette, or, for a discriminative
    segmenter, a palette of maximally distant colors.

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
    """Write an image file atomically, creating its folder if missing.

    Args:
        picture: Uint8 array of shape `(height, width, 3)`, RGB 0-255, or
            uint8 or uint16 `(height, width)`, such as a mask of class ids.
        path: Path of the file: `.png` for PNG, `.jpg` or `.jpeg` for JPEG,
            which is lossy.

    Raises:
        OSError: If the file cannot be written.
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
    """Encode an image as PNG or JPEG.

    Args:
        picture: See `save`.
        suffix: `".png"`, `".jpg"` or `".jpeg"`.

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


def as_uint8(image):
    """Convert a float image in [0, 1] to uint8; pass uint8 through."""
    image = np.asarray(image)
    if image.dtype == np.uint8:
        return image
    return (255 * np.clip(image, 0, 1)).round().astype("uint8")


def font(size):
    """Return Pillow's default font at a size in pixels."""
    from PIL import ImageFont

    return ImageFont.load_default(size)
