"""Decode uploaded photos in bounded memory."""

import dataclasses
import io
import math

import numpy as np

from gss_keras.data.photos import as_rgb, upright

# Formats that Pillow may read. Some of its other readers start external
# programs or parse formats that are hard to parse safely.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
# A photo of 8000 x 6000 pixels has 48 million; decoding takes 3 bytes each.
MAX_FILE_PIXELS = 64_000_000
# Maximum side of a downscaled photo, however extreme its aspect ratio.
MAX_SIDE = 4096


class UploadError(ValueError):
    """A file cannot be segmented; the message is shown to the visitor."""


@dataclasses.dataclass(frozen=True, eq=False)
class Photo:
    """A decoded photo, upright and of bounded size.

    Attributes:
        pixels: Uint8 array `(height, width, 3)`, RGB 0-255, downscaled to the
            maximum number of pixels.
        file_size: Width and height in pixels of the image in the file, after
            its EXIF orientation is applied.
    """

    pixels: np.ndarray
    file_size: tuple[int, int]


def read_upload(data, max_pixels):
    """Decode an image file to an upright photo of bounded size.

    Grayscale is converted to RGB, an alpha channel is dropped, 16 bits are
    reduced to 8, and the EXIF orientation is applied. Only the first frame of
    an animation is decoded.

    Args:
        data: Bytes of the file.
        max_pixels: Maximum number of pixels; a larger photo is downscaled,
            keeping the aspect ratio.

    Returns:
        A `Photo`.

    Raises:
        UploadError: If the file is empty, not an image, damaged or too large.

    Example:
        >>> import io
        >>> from PIL import Image
        >>> file = io.BytesIO()
        >>> Image.new("L", (400, 100)).save(file, "PNG")
        >>> photo = read_upload(file.getvalue(), max_pixels=10_000)
        >>> photo.pixels.shape, photo.file_size
        ((50, 200, 3), (400, 100))
    """
    from PIL import Image, UnidentifiedImageError

    if not data:
        raise UploadError("The file is empty. Choose another one.")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            _check_size(picture.size)
            return _decode(picture, max_pixels)
    except UploadError:
        raise
    except UnidentifiedImageError as error:
        raise UploadError(
            "A photo must be a JPEG, PNG, WebP, TIFF, GIF or BMP file. "
            "Received: a file in another format. Save the photo as JPEG and "
            "try again."
        ) from error
    # The warning is raised if warnings are errors.
    except (
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        raise _too_large("far too many pixels") from error
    # Readers raise all kinds of errors for damaged files: OSError, SyntaxError
    # and struct.error are only the most common ones.
    except Exception as error:
        raise UploadError(
            "The photo could not be decoded; the file seems to be damaged or "
            f"incomplete. Received: {error or type(error).__name__}. Save or "
            "download it again."
        ) from error


def reduced_size(size, max_pixels):
    """Scale a size down to a number of pixels, keeping the aspect ratio.

    Args:
        size: Width and height in pixels.
        max_pixels: Maximum number of pixels, width times height.

    Returns:
        Width and height, at least 1 and at most `MAX_SIDE`.

    Example:
        >>> reduced_size((8000, 6000), 786_432)
        (1024, 768)
        >>> reduced_size((480, 360), 786_432)
        (480, 360)
    """
    width, height = size
    factor = min(
        1.0, math.sqrt(max_pixels / (width * height)), MAX_SIDE / max(size)
    )
    return tuple(max(1, math.floor(side * factor + 1e-6)) for side in size)


def resize(pixels, size):
    """Resize a photo, bilinear and antialiased.

    Args:
        pixels: Uint8 array `(height, width, 3)`.
        size: Width and height in pixels of the result.

    Returns:
        Uint8 array of that size.
    """
    from PIL import Image

    picture = Image.fromarray(pixels)
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR))


def _decode(picture, max_pixels):
    from PIL import Image

    file_size = picture.size
    target_size = reduced_size(file_size, max_pixels)
    # Decode JPEG at 1/2, 1/4 or 1/8 of its size where that is large enough.
    picture.draft(None, target_size)
    picture.load()
    oriented = upright(picture)
    if oriented.size != picture.size:
        file_size, target_size = file_size[::-1], target_size[::-1]
    if oriented.mode == "F":
        raise UploadError(
            "A photo must have integer pixel values. Received: floating-point "
            "values. Save the photo as JPEG and try again."
        )
    picture = as_rgb(oriented)
    if picture.size != target_size:
        picture = picture.resize(
            target_size, Image.Resampling.BILINEAR, reducing_gap=3.0
        )
    return Photo(np.array(picture), file_size)


def _check_size(size):
    if size[0] * size[1] > MAX_FILE_PIXELS:
        raise _too_large(f"{size[0]} x {size[1]}")


def _too_large(received):
    millions = MAX_FILE_PIXELS // 1_000_000
    return UploadError(
        f"A photo must have at most {millions} million pixels. "
        f"Received: {received}. Downscale it and try again."
    )
