"""Read users' photos in any common format, color mode and orientation."""

import contextlib
import warnings

import numpy as np

# The Pillow readers to allow. Others start external programs or decode
# formats that are hard to decode safely.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
EXTENSIONS = (
    ".bmp .gif .jpeg .jpg .mpo .png .ppm .tif .tiff .webp".split()
)  # fmt: skip
# The EXIF tag of the orientation, and its values that swap height and width.
_ORIENTATION, _TRANSPOSED = 0x0112, (5, 6, 7, 8)
_REMEDY = "Save it again as JPEG or PNG"


def read_any_photo(file):
    """Read a photo of any format as upright 8-bit RGB.

    Applies the EXIF orientation, repeats the channel of grayscale photos,
    converts palettes and CMYK to RGB and 16 bits to 8, drops the alpha
    channel, and takes the first frame of an animation or multi-page file.
    `read_photo`, for data sets with masks, rejects most of these formats,
    since there they indicate a mistake.

    Args:
        file: Path of a file, or a binary file object.

    Returns:
        uint8 array `(height, width, 3)`, 0-255 RGB.

    Raises:
        ValueError: If the format is not in `FORMATS`, or if the file is
            truncated or damaged, contains floats, or has more pixels than
            Pillow considers safe.

    Example:
        >>> import io
        >>> from PIL import Image
        >>> file = io.BytesIO()
        >>> Image.new("L", (3, 2), 7).save(file, "PNG")
        >>> read_any_photo(file)[0, 0].tolist()
        [7, 7, 7]
    """
    with _open(file) as image:
        image.load()
        if image.mode == "F":
            raise ValueError(
                "A photo must have integer pixels. Received: "
                f"{file} with float pixels. {_REMEDY}."
            )
        return np.array(as_rgb(upright(image)))


def photo_size(file):
    """Return the height and width of a photo without decoding its pixels.

    Args:
        file: Path of a file, or a binary file object.

    Returns:
        Height and width in pixels, after applying the EXIF orientation.

    Raises:
        ValueError: If the format is not in `FORMATS`.
    """
    with _open(file) as image:
        width, height = image.size
        is_transposed = False
        with contextlib.suppress(Exception):
            is_transposed = image.getexif().get(_ORIENTATION) in _TRANSPOSED
        return (width, height) if is_transposed else (height, width)


@contextlib.contextmanager
def _open(file):
    """Open an image, raising all decoding errors as ValueError."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # Pillow warns about large images, but raises for unsafe ones.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file, formats=FORMATS) as image:
                yield image
    except UnidentifiedImageError as error:
        raise ValueError(
            f"A photo must have one of the formats {', '.join(FORMATS)}. "
            f"Received: {file}, which has another format. {_REMEDY}."
        ) from error
    except FileNotFoundError as error:
        raise ValueError(f"There is no such file. Received: {file}") from error
    except ValueError as error:
        if "Received" in str(error):
            raise
        raise _unreadable(file, error) from error
    # Decoders raise all kinds of errors on damaged files: OSError, SyntaxError
    # and struct.error are only the usual ones.
    except Exception as error:
        raise _unreadable(file, error) from error


def _unreadable(file, error):
    return ValueError(
        "A photo must be a complete, undamaged file. Received: "
        f"{file} ({error or type(error).__name__}). {_REMEDY}, or download it "
        "again."
    )


def upright(image):
    """Apply the EXIF orientation to an image.

    Args:
        image: A Pillow image, loaded.

    Returns:
        A Pillow image. If the EXIF data is damaged, the input unchanged.
    """
    from PIL import ImageOps

    with contextlib.suppress(Exception):
        image = ImageOps.exif_transpose(image)
    return image


def as_rgb(image):
    """Convert an image of any mode except "F" (floats) to 8-bit RGB.

    Args:
        image: A Pillow image.

    Returns:
        A Pillow image of mode "RGB".
    """
    from PIL import Image

    # 16-bit grayscale: Pillow would clip values above 255.
    if image.mode.startswith("I"):
        pixels = np.clip(np.asarray(image), 0, 65535)
        image = Image.fromarray((pixels // 257).astype("uint8"))
    return image.convert("RGB")
