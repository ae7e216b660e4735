"""Read and validate a single photo or mask file."""

import numpy as np

from gss_keras.constants import IGNORE_LABEL

# What a user can do about one bad file among thousands.
REMEDY = (
    "Repair or replace the file. To continue without it, pass "
    "`--skip-bad-files` to a recipe or wrap the source in `SkipBadFiles`; "
    "both report the skipped files."
)


def id_table(num_classes, ignore):
    """Return the identity lookup table from ids in files to class ids.

    Args:
        num_classes: Number of classes. Ids 0 to `num_classes - 1` in the
            files are the class ids.
        ignore: Id or ids, 0 to 65535, that mean "no label", besides 255.

    Returns:
        int32 array `(65536,)`: class ids, 255 for ignored ids and -1 for
        invalid ones.

    Raises:
        ValueError: If `ignore` is out of range.
    """
    table = np.full(65536, -1, "int32")
    table[:num_classes] = np.arange(num_classes)
    ignored = np.atleast_1d(np.asarray(ignore, "int64"))
    if ignored.size and not (0 <= ignored.min() <= ignored.max() < 65536):
        raise ValueError(
            f"`ignore` must be ids from 0 to 65535. Received: ignore={ignore}"
        )
    table[ignored] = IGNORE_LABEL
    table[IGNORE_LABEL] = IGNORE_LABEL
    return table


def read_photo(path):
    """Read a photo as RGB, repeating the channel of grayscale files.

    Large data sets such as ADE20K contain a few grayscale JPEG files. Other
    image modes raise an error: files with transparency or a palette are more
    often masks, drawings or screenshots than photos.

    Args:
        path: Path of a PNG or JPEG file.

    Returns:
        uint8 array `(height, width, 3)`, 0-255 RGB.

    Raises:
        ValueError: If the file cannot be decoded completely or is neither RGB
            nor grayscale.
    """
    mode, pixels = _read_image(path)
    if mode == "L":
        return np.repeat(pixels[..., None], 3, axis=2)
    if mode != "RGB":
        raise ValueError(
            "A photo must have three channels, red, green and blue, or one "
            f"grayscale channel. Received: {path} of mode {mode!r}. {REMEDY}"
        )
    return pixels


def read_mask(path, table):
    """Read a mask of class ids.

    Args:
        path: Path of a PNG file with one channel.
        table: int32 lookup table `(65536,)`, see `id_table`.

    Returns:
        int32 array `(height, width)`, class ids or 255.

    Raises:
        ValueError: If the file cannot be decoded completely, has several
            channels or contains an id that is -1 in the table.
    """
    mode, ids = _read_image(path)
    if ids.ndim != 2 or ids.dtype.kind == "f":
        raise ValueError(
            "A mask must have one channel of class ids, like a grayscale or "
            f"palette PNG. Received: {path} of mode {mode!r}. {REMEDY}"
        )
    return map_ids(ids, table, path)


def map_ids(ids, table, place):
    """Map the ids of a file to class ids.

    Args:
        ids: Int array `(height, width)` of ids as stored in the file.
        table: int32 lookup table `(65536,)`, see `id_table`.
        place: Origin of the ids, such as a path, for error messages.

    Returns:
        int32 array `(height, width)`, class ids or 255.

    Raises:
        ValueError: If an id is -1 in the table.
    """
    # uint8 ids need no range check, which takes half of the time here.
    if ids.dtype == np.uint8:
        mask = table[:256][ids]
    else:
        mask = table[np.clip(ids.astype("int32"), 0, 65535)]
    if mask.min(initial=0) < 0:
        known = np.flatnonzero(table >= 0)
        known = known[known != IGNORE_LABEL]
        unknown = np.unique(ids[mask < 0])
        raise ValueError(
            f"A mask must contain ids from {known[0]} to {known[-1]}, or 255 "
            "for ignored pixels; list other ids to ignore in `ignore` if the "
            f"source supports it. Received: {place} with "
            f"{', '.join(map(str, unknown[:8]))}. {REMEDY}"
        )
    return mask


def read_color_mask(path, colors, ids):
    """Read a color-coded mask.

    Args:
        path: Path of an RGB PNG file.
        colors: Int array `(count, 3)` of distinct RGB colors, 0-255.
        ids: Int array `(count,)`: the class id of each color, or 255.

    Returns:
        int32 array `(height, width)`, class ids or 255.

    Raises:
        ValueError: If the file cannot be decoded completely, is not RGB or
            contains a color that is not in `colors`.
    """
    mode, pixels = _read_image(path)
    if mode != "RGB":
        raise ValueError(
            "A color-coded mask must be an RGB file. "
            f"Received: {path} of mode {mode!r}. {REMEDY}"
        )
    color_keys = _pack_rgb(np.asarray(colors))
    order = np.argsort(color_keys)
    pixel_keys = _pack_rgb(pixels)
    indices = order[np.searchsorted(color_keys[order], pixel_keys) % len(order)]
    is_unknown = color_keys[indices] != pixel_keys
    if is_unknown.any():
        unknown = np.unique(pixels[is_unknown], axis=0)[:4].tolist()
        raise ValueError(
            "A color-coded mask must contain only the colors of its classes. "
            f"Received: {path} with {unknown} in "
            f"{is_unknown.sum()} pixels. {REMEDY}"
        )
    return np.asarray(ids, "int32")[indices]


def _pack_rgb(colors):
    """Pack each RGB color into one int, so that colors can be searched."""
    return colors.astype("int32") @ np.array([65536, 256, 1], "int32")


def _read_image(path):
    """Return Pillow's mode and the pixels of an image file."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()
            return image.mode, np.array(image)
    # What Pillow raises for damaged files, depending on where they end.
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise ValueError(
            "A photo or mask must be a complete PNG or JPEG file. "
            f"Received: {path} ({error}). {REMEDY}"
        ) from error
