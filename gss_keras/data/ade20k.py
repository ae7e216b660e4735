"""ADE20K, photos of scenes of all kinds with 150 classes."""

from pathlib import Path

import numpy as np

from gss_keras.data.cards import card, check_folders, check_split
from gss_keras.data.sources import PairedFiles, pair_files, pictures_in
from gss_keras.maskige.mapping import IGNORE_LABEL

_ROOT = "ADEChallengeData2016"
_FOLDERS = {"train": "training", "val": "validation"}


class ADE20K(PairedFiles):
    """Reads ADE20K as the scene parsing benchmark published it.

    Photos of many sizes, a few of them gray. The files count the classes
    from 1 and hold 0 for everything else; the masks count from 0 and hold
    255 for the rest.

    Args:
        data_dir: Path of the folder that holds `ADEChallengeData2016/`, or of
            that folder itself.
        split: `"train"` (20,210 photos) or `"val"` (2000).

    Attributes:
        names: Tuple of the file names without ending, in order.

    Raises:
        ValueError: If `split` is unknown, a folder is missing or empty, or a
            photo has no mask; see `PairedFiles` for single files.

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
            pictures_in(photos, "data_dir", (".jpg",)),
            pictures_in(masks, "data_dir", (".png",)),
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
    """Return what the ids in ADE20K's label files mean.

    Returns:
        int32 array `(65536,)`: 0-149 for the ids 1-150, 255 for 0 and 255,
        -1 for what is no id.

    Example:
        >>> ade20k_table()[[0, 1, 150, 151]].tolist()
        [255, 0, 149, -1]
    """
    table = np.full(65536, -1, "int32")
    table[[0, IGNORE_LABEL]] = IGNORE_LABEL
    table[1:151] = np.arange(150)
    return table
