"""Read whatever a visitor sends as a photo, in bounded memory."""

import dataclasses
import io
import math

import numpy as np

from gss_keras.data.photos import as_rgb, upright

# Those of Pillow's readers that photos come in. It has others, which start
# programs or read formats that are hard to read safely.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
# A photo of 8000 x 6000 pixels has 48 million; decoding takes 3 bytes each.
MAX_FILE_PIXELS = 64_000_000
# Reduced photos are not longer than this, however narrow they are.
MAX_SIDE = 4096


class UploadError(ValueError):
    """A file that cannot be segmented; its text is shown to the visitor."""


@dataclasses.dataclass(frozen=True, eq=False)
class Photo:
    """A photo as the page shows it.

    Attributes:
        pixels: Uint8 array `(height, width, 3)`, RGB 0-255, upright and no
            larger than allowed.
        file_size: Width and height in pixels of the file, upright.
    """

    pixels: np.ndarray
    file_size: tuple[int, int]


def read_upload(data, max_pixels):
    """Turn the bytes of a file into an upright photo of bounded size.

    Gray photos get three equal channels, an alpha channel is dropped, 16 bits
    become 8, and a photo that the camera held sideways is turned as its EXIF
    entry says. Of an animation the first picture is taken.

    Args:
        data: Bytes of the file.
        max_pixels: Number of pixels that a larger photo is reduced to,
            keeping its ratio.

    Returns:
        A `Photo`.

    Raises:
        UploadError: If the file is empty, no picture, damaged or too large.

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
            return _reduce(picture, max_pixels)
    except UploadError:
        raise
    except UnidentifiedImageError as error:
        raise UploadError(
            "A photo must be a JPEG, PNG, WebP, TIFF, GIF or BMP file. "
            "Received: a file that is none of them. Save the photo as JPEG "
            "and try again."
        ) from error
    # The warning, too, where warnings are errors.
    except (
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        raise _too_large("far too many pixels") from error
    # Readers fail in all kinds of ways on damaged files: OSError, SyntaxError
    # and struct.error are only the usual ones.
    except Exception as error:
        raise UploadError(
            "The photo could not be read to its end; the file seems to be "
            f"damaged or cut short. Received: {error or type(error).__name__}. "
            "Save or download it again."
        ) from error


def reduced_size(size, max_pixels):
    """Fit a picture into a number of pixels, keeping its ratio.

    Args:
        size: Width and height in pixels.
        max_pixels: Largest product of both.

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
    """Shrink a photo smoothly.

    Args:
        pixels: Uint8 array `(height, width, 3)`.
        size: Width and height in pixels.

    Returns:
        Uint8 array of that size.
    """
    from PIL import Image

    picture = Image.fromarray(pixels)
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR))


def _reduce(picture, max_pixels):
    from PIL import Image

    file_size = picture.size
    smallest = reduced_size(file_size, max_pixels)
    # JPEG is decoded at a half, a quarter or an eighth where that suffices.
    picture.draft(None, smallest)
    picture.load()
    turned = upright(picture)
    if turned.size != picture.size:
        file_size, smallest = file_size[::-1], smallest[::-1]
    if turned.mode == "F":
        raise UploadError(
            "A photo must have whole numbers as pixels. Received: a picture "
            "of floats. Save the photo as JPEG and try again."
        )
    picture = as_rgb(turned)
    if picture.size != smallest:
        picture = picture.resize(
            smallest, Image.Resampling.BILINEAR, reducing_gap=3.0
        )
    return Photo(np.array(picture), file_size)


def _check_size(size):
    if size[0] * size[1] > MAX_FILE_PIXELS:
        raise _too_large(f"{size[0]} x {size[1]}")


def _too_large(received):
    millions = MAX_FILE_PIXELS // 1_000_000
    return UploadError(
        f"A photo must have at most {millions} million pixels. "
        f"Received: {received}. Make it smaller and try again."
    )
