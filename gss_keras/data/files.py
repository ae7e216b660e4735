"""Read one photo or mask file, and say what is wrong with it."""

import numpy as np

from gss_keras.maskige.mapping import IGNORE_LABEL


def id_table(num_classes, ignore):
    """Return the id of a mask for every id a file can hold, -1 if none."""
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
    """Read an RGB photo as uint8 (height, width, 3)."""
    mode, pixels = _read_picture(path)
    if mode != "RGB":
        raise ValueError(
            "A photo must have three channels, red, green and blue. "
            f"Received: {path} of mode {mode!r}"
        )
    return pixels


def read_mask(path, table, num_classes):
    """Read class ids as int32 (height, width)."""
    mode, ids = _read_picture(path)
    if ids.ndim != 2 or ids.dtype.kind == "f":
        raise ValueError(
            "A mask must have one channel of class ids, as a gray or palette "
            f"PNG has. Received: {path} of mode {mode!r}"
        )
    ids = ids.astype("int32")
    mask = table[np.clip(ids, 0, 65535)]
    if mask.min() < 0:
        unknown = np.unique(ids[mask < 0])
        raise ValueError(
            f"A mask must hold class ids from 0 to {num_classes - 1}, or 255 "
            f"to ignore a pixel; name other ids in `ignore`. Received: {path} "
            f"with {', '.join(map(str, unknown[:8]))}"
        )
    return mask


def _read_picture(path):
    """Return Pillow's mode and the pixels of a picture file."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return picture.mode, np.array(picture)
    except (OSError, SyntaxError) as error:
        raise ValueError(
            f"A photo or mask must be a readable PNG or JPEG file. "
            f"Received: {path} ({error})"
        ) from error
