"""Cityscapes: street scenes of 50 cities with 19 classes."""

from pathlib import Path

import numpy as np

from gss_keras.constants import IGNORE_LABEL
from gss_keras.data.cards import card, check_folders, check_split
from gss_keras.data.sources import PairedFiles, pair_files

# The label id in the files of each of the 19 classes, in the order of the
# classes. The data set has 34 label ids; the benchmark ignores the others.
LABEL_IDS = (
    7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33,
)  # fmt: skip
NUM_LABEL_IDS = 34

_PHOTO_SUFFIX = "_leftImg8bit.png"
_MASK_SUFFIX = "_gtFine_labelIds.png"


def cityscapes_table():
    """Return the lookup table from Cityscapes' label ids to class ids.

    Returns:
        int32 array `(65536,)`: the class 0-18 of each id in `LABEL_IDS`, 255
        for the other ids up to 33 and for 255, -1 for invalid ids.

    Example:
        >>> cityscapes_table()[[7, 8, 0, 33, 34]].tolist()
        [0, 1, 255, 18, -1]
    """
    table = np.full(65536, -1, "int32")
    table[:NUM_LABEL_IDS] = IGNORE_LABEL
    table[IGNORE_LABEL] = IGNORE_LABEL
    table[list(LABEL_IDS)] = np.arange(len(LABEL_IDS))
    return table


class Cityscapes(PairedFiles):
    """Read Cityscapes as unpacked from its two archives.

    Photos of 1024 x 2048 pixels. Label ids in the files become the 19 classes
    of the benchmark; all others become 255. The test labels are not public:
    masks of that split are 255 everywhere.

    Args:
        data_dir: Path of the folder that contains `leftImg8bit/` and
            `gtFine/`.
        split: `"train"` (2975 photos), `"val"` (500) or `"test"` (1525).

    Attributes:
        names: Sorted tuple of `<city>_<sequence>_<frame>`.

    Raises:
        ValueError: If `split` is unknown, a folder is missing or a photo has
            no mask. See `PairedFiles` for errors in single files.

    Reference:
        Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene
        Understanding", 2016.

    Example:
        >>> import tempfile
        >>> from gss_keras.synthetic import miniature
        >>> folder = tempfile.mkdtemp() + "/cityscapes"
        >>> folder = miniature.write("cityscapes", folder, size=(32, 64))
        >>> source = Cityscapes(folder, "val")
        >>> len(source), source[0]["photo"].shape
        (2, (32, 64, 3))
    """

    def __init__(self, data_dir, split="train"):
        check_split("cityscapes", split)
        photos = Path(data_dir) / "leftImg8bit" / split
        masks = Path(data_dir) / "gtFine" / split
        is_labeled = split != "test"
        required = (photos, masks) if is_labeled else (photos,)
        check_folders("cityscapes", data_dir, *required)
        photo_paths = _find(photos, _PHOTO_SUFFIX)
        if is_labeled:
            mask_paths = _find(masks, _MASK_SUFFIX)
        else:
            mask_paths = dict.fromkeys(photo_paths)
        names, photo_paths, mask_paths = pair_files(
            photo_paths, mask_paths, photos, masks
        )
        super().__init__(
            names,
            photo_paths,
            mask_paths,
            card("cityscapes").classes,
            cityscapes_table(),
        )


def _find(folder, suffix):
    """Return a dict from names to paths of all cities' files with a suffix."""
    paths = folder.glob(f"*/*{suffix}")
    return {path.name.removesuffix(suffix): path for path in paths}
