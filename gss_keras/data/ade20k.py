"""ADE20K: indoor and outdoor scenes with 150 classes."""

from pathlib import Path

import numpy as np

from gss_keras.constants import IGNORE_LABEL
from gss_keras.data.cards import card, check_folders, check_split
from gss_keras.data.sources import PairedFiles, list_images, pair_files

_ROOT = "ADEChallengeData2016"
_FOLDERS = {"train": "training", "val": "validation"}


class ADE20K(PairedFiles):
    """Read ADE20K in the layout of the scene parsing benchmark.

    Photos vary in size; a few are grayscale. Label files use ids 1-150 for
    the classes and 0 for unlabeled pixels; masks use 0-149 and 255.

    Args:
        data_dir: Path of the folder that contains `ADEChallengeData2016/`, or
            of that folder itself.
        split: `"train"` (20,210 photos) or `"val"` (2000).

    Attributes:
        names: Tuple of the sorted file names without extension.

    Raises:
        ValueError: If `split` is unknown, a folder is missing or empty, or a
            photo has no mask. See `PairedFiles` for errors in single files.

    Reference:
        Zhou et al., "Scene Parsing through ADE20K Dataset", 2017.

    Example:
        >>> import tempfile
        >>> from gss_keras.synthetic import miniature
        >>> folder = tempfile.mkdtemp() + "/ade20k"
        >>> folder = miniature.write("ade20k", folder, size=(32, 48))
        >>> ADE20K(folder, "val").names
        ('ADE_val_00000001', 'ADE_val_00000002')
    """

    def __init__(self, data_dir, split="train"):
        check_split("ade20k", split)
        root = Path(data_dir)
        if root.name != _ROOT:
            root = root / _ROOT
        photos = root / "images" / _FOLDERS[split]
        masks = root / "annotations" / _FOLDERS[split]
        check_folders("ade20k", data_dir, photos, masks)
        names, photo_paths, mask_paths = pair_files(
            list_images(photos, "data_dir", (".jpg",)),
            list_images(masks, "data_dir", (".png",)),
            photos,
            masks,
        )
        super().__init__(
            names,
            photo_paths,
            mask_paths,
            card("ade20k").classes,
            ade20k_table(),
        )


def ade20k_table():
    """Return the lookup table from ADE20K's label ids to class ids.

    Returns:
        int32 array `(65536,)`: 0-149 for the ids 1-150, 255 for 0 and 255,
        -1 for invalid ids.

    Example:
        >>> ade20k_table()[[0, 1, 150, 151]].tolist()
        [255, 0, 149, -1]
    """
    table = np.full(65536, -1, "int32")
    table[[0, IGNORE_LABEL]] = IGNORE_LABEL
    table[1:151] = np.arange(150)
    return table
