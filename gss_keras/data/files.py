"""Read one photo or mask file, and say what is wrong with it."""

import numpy as np

from gss_keras.maskige.mapping import IGNORE_LABEL

# What a user can do about one bad file among thousands.
REMEDY = (
    "Repair or replace the file. To go on without it, give "
    "`--skip-bad-files` to a recipe or wrap the source in `SkipBadFiles`; "
    "both report what they left out."
)


def id_table(num_classes, ignore):
    """Return the id of a mask for every id a file can hold, -1 if none.

    Args:
        num_classes: Number of classes; their ids in files are their ids in
            masks, 0 to `num_classes - 1`.
        ignore: Id or ids, 0 to 65535, which mean "no label", on top of 255.

    Returns:
        int32 array `(65536,)` of class ids, 255 and -1.

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
    """Read a photo; a gray one gets three equal channels.

    Gray JPEG files are found among the color photos of large sets such as
    ADE20K. Other kinds of pictures are refused: with transparency or a
    palette they are masks, drawings or screenshots more often than photos.

    Args:
        path: Path of a PNG or JPEG file.

    Returns:
        uint8 array `(height, width, 3)`, 0-255 RGB.

    Raises:
        ValueError: If the file cannot be read to its end or is no photo.
    """
    mode, pixels = _read_picture(path)
    if mode == "L":
        return np.repeat(pixels[..., None], 3, axis=2)
    if mode != "RGB":
        raise ValueError(
            "A photo must have three channels, red, green and blue, or one "
            f"of gray. Received: {path} of mode {mode!r}. {REMEDY}"
        )
    return pixels


def read_mask(path, table):
    """Read class ids.

    Args:
        path: Path of a PNG file with one channel.
        table: int32 array `(65536,)` as of `id_table`.

    Returns:
        int32 array `(height, width)`, class ids or 255.

    Raises:
        ValueError: If the file cannot be read to its end, has several
            channels or holds an id that is -1 in the table.
    """
    mode, ids = _read_picture(path)
    if ids.ndim != 2 or ids.dtype.kind == "f":
        raise ValueError(
            "A mask must have one channel of class ids, as a gray or palette "
            f"PNG has. Received: {path} of mode {mode!r}. {REMEDY}"
        )
    return look_up(ids, table, path)


def look_up(ids, table, place):
    """Return the mask of the ids in a file.

    Args:
        ids: Int array `(height, width)` of ids as in files.
        table: int32 array `(65536,)` as of `id_table`.
        place: What an error names as the place where the ids are from.

    Returns:
        int32 array `(height, width)`, class ids or 255.

    Raises:
        ValueError: If an id is -1 in the table.
    """
    # A byte needs no check of its range, which is half of the time here.
    if ids.dtype == np.uint8:
        mask = table[:256][ids]
    else:
        mask = table[np.clip(ids.astype("int32"), 0, 65535)]
    if mask.min(initial=0) < 0:
        known = np.flatnonzero(table >= 0)
        known = known[known != IGNORE_LABEL]
        unknown = np.unique(ids[mask < 0])
        raise ValueError(
            f"A mask must hold ids from {known[0]} to {known[-1]}, or 255 to "
            "ignore a pixel; name other ids in `ignore` where a source takes "
            f"it. Received: {place} with {', '.join(map(str, unknown[:8]))}. "
            f"{REMEDY}"
        )
    return mask


def read_color_mask(path, colors, ids):
    """Read a mask whose classes are painted in colors.

    Args:
        path: Path of an RGB PNG file.
        colors: Int array `(count, 3)` of different colors, 0-255.
        ids: Int array `(count,)`: the class id of each color, or 255.

    Returns:
        int32 array `(height, width)`, class ids or 255.

    Raises:
        ValueError: If the file cannot be read to its end, is not RGB or
            holds a color which is none of `colors`.
    """
    mode, pixels = _read_picture(path)
    if mode != "RGB":
        raise ValueError(
            "A mask painted in colors must be an RGB file. "
            f"Received: {path} of mode {mode!r}. {REMEDY}"
        )
    codes = _as_codes(np.asarray(colors))
    order = np.argsort(codes)
    found = _as_codes(pixels)
    places = order[np.searchsorted(codes[order], found) % len(order)]
    is_unknown = codes[places] != found
    if is_unknown.any():
        unknown = np.unique(pixels[is_unknown], axis=0)[:4].tolist()
        raise ValueError(
            "A mask painted in colors must hold the colors of its classes "
            f"only. Received: {path} with {unknown} in "
            f"{is_unknown.sum()} pixels. {REMEDY}"
        )
    return np.asarray(ids, "int32")[places]


def _as_codes(colors):
    """Return one number for each color."""
    return colors.astype("int32") @ np.array([65536, 256, 1], "int32")


def _read_picture(path):
    """Return Pillow's mode and the pixels of a picture file."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            picture.load()
            return picture.mode, np.array(picture)
    # What Pillow raises for damaged files, depending on where they end.
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise ValueError(
            "A photo or mask must be a PNG or JPEG file that can be read to "
            f"its end. Received: {path} ({error}). {REMEDY}"
        ) from error
