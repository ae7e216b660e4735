"""Read the photos that people have, whatever device or program wrote them."""

import contextlib
import warnings

import numpy as np

# Those of Pillow's readers that photos come in. It has others, which start
# programs or read formats that are hard to read safely.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
ENDINGS = (
    ".bmp .gif .jpeg .jpg .mpo .png .ppm .tif .tiff .webp".split()
)  # fmt: skip
_ORIENTATION, _LYING = 0x0112, (5, 6, 7, 8)
_REMEDY = "Save it as JPEG or PNG anew"


def read_any_photo(file):
    """Read a photo as people see it, upright and in RGB.

    A photo that the camera held sideways is turned as its EXIF entry says,
    gray ones get three equal channels, palettes and CMYK become RGB, 16 bits
    become 8, transparency is dropped, and of an animation or a file of
    several pictures the first is taken. `read_photo`, for data sets with
    masks, refuses most of that, since it would hide mistakes there.

    Args:
        file: Path of a file, or a binary file object.

    Returns:
        uint8 array `(height, width, 3)`, 0-255 RGB.

    Raises:
        ValueError: If the file is none of `FORMATS`, cannot be read to its
            end, or holds floats or more pixels than Pillow deems safe.

    Example:
        >>> import io
        >>> from PIL import Image
        >>> file = io.BytesIO()
        >>> Image.new("L", (3, 2), 7).save(file, "PNG")
        >>> read_any_photo(file)[0, 0].tolist()
        [7, 7, 7]
    """
    with _opened(file) as picture:
        picture.load()
        if picture.mode == "F":
            raise ValueError(
                "A photo must have whole numbers as pixels. Received: "
                f"{file}, a picture of floats. {_REMEDY}."
            )
        return np.array(as_rgb(upright(picture)))


def photo_size(file):
    """Read the height and width of an upright photo, and nothing else of it.

    Args:
        file: As for `read_any_photo`.

    Returns:
        Height and width in pixels.

    Raises:
        ValueError: If the file is none of `FORMATS`.
    """
    with _opened(file) as picture:
        width, height = picture.size
        lying = False
        with contextlib.suppress(Exception):
            lying = picture.getexif().get(_ORIENTATION) in _LYING
        return (width, height) if lying else (height, width)


@contextlib.contextmanager
def _opened(file):
    """Open a picture, and raise what readers raise as one kind of error."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # Large is not yet unsafe; what is, Pillow raises as an error.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file, formats=FORMATS) as picture:
                yield picture
    except UnidentifiedImageError as error:
        raise ValueError(
            f"A photo must be a file of one of {', '.join(FORMATS)}. "
            f"Received: {file}, which is something else. {_REMEDY}."
        ) from error
    except FileNotFoundError as error:
        raise ValueError(f"There is no such file. Received: {file}") from error
    except ValueError as error:
        if "Received" in str(error):
            raise
        raise _unreadable(file, error) from error
    # Readers fail in all kinds of ways on damaged files: OSError, SyntaxError
    # and struct.error are only the usual ones.
    except Exception as error:
        raise _unreadable(file, error) from error


def _unreadable(file, error):
    return ValueError(
        "A photo must be readable to its end. Received: "
        f"{file} ({error or type(error).__name__}). {_REMEDY}, or fetch it "
        "again."
    )


def upright(picture):
    """Turn a picture that the camera held sideways, as its EXIF entry says.

    Args:
        picture: A Pillow picture, loaded.

    Returns:
        A Pillow picture. A damaged entry leaves it as it lies in the file.
    """
    from PIL import ImageOps

    with contextlib.suppress(Exception):
        picture = ImageOps.exif_transpose(picture)
    return picture


def as_rgb(picture):
    """Turn a picture of any mode but "F", floats, into 8-bit RGB.

    Args:
        picture: A Pillow picture.

    Returns:
        A Pillow picture of mode "RGB".
    """
    from PIL import Image

    # Gray with 16 bits: Pillow would cut off what exceeds 255.
    if picture.mode.startswith("I"):
        pixels = np.clip(np.asarray(picture), 0, 65535)
        picture = Image.fromarray((pixels // 257).astype("uint8"))
    return picture.convert("RGB")
