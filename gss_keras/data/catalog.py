"""Look up a data set by name: its card and its reader."""

from pathlib import Path

from gss_keras.data import cards
from gss_keras.data.ade20k import ADE20K
from gss_keras.data.camvid import CamVid, CamVid32
from gss_keras.data.cards import (
    DatasetCard,
    card,
    check_folders,
    check_split,
    names,
)
from gss_keras.data.cityscapes import Cityscapes
from gss_keras.data.mseg import TEST_SETS, MSeg, MSegTestSet
from gss_keras.data.sources import Folders, read_classes
from gss_keras.data.tfds import TfdsCityscapes

__all__ = [
    "DatasetCard",
    "SplitFolders",
    "card",
    "check_folders",
    "check_split",
    "load",
    "names",
    "register",
]


class SplitFolders(Folders):
    """Read the user's own photos and masks from one folder per split.

    Args:
        data_dir: Path of the folder that contains one folder per split, each
            with `images/`, `masks/` and `classes.txt` as `Folders` reads
            them. All splits must have the same classes.
        split: Name of the split's folder, usually `"train"` or `"val"`.

    Raises:
        ValueError: If a folder or file is missing, if the splits differ in
            their classes, or for any reason that `Folders` raises it.
    """

    def __init__(self, data_dir, split="train"):
        folder = Path(data_dir) / split
        photos, masks = folder / "images", folder / "masks"
        check_folders("folders", data_dir, photos, masks)
        classes = folder / "classes.txt"
        super().__init__(photos, masks, classes)
        for other in sorted(Path(data_dir).glob("*/classes.txt")):
            if read_classes(other) != self.classes:
                raise ValueError(
                    "All splits must have the same classes in the same "
                    f"order. Received: {classes} and {other}, which differ"
                )


def _test_set_reader(test_set):
    """Return a reader, `(data_dir, split) -> source`, for an MSeg test set."""

    def read(data_dir, split):
        check_split(f"mseg-{test_set}", split)
        return MSegTestSet(test_set, data_dir)

    return read


# The readers of each data set; the first one is the default.
_READERS = {
    "cityscapes": {"files": Cityscapes, "tfds": TfdsCityscapes},
    "ade20k": {"files": ADE20K},
    "camvid": {"files": CamVid},
    "camvid-32": {"files": CamVid32},
    "mseg": {"files": MSeg},
    **{f"mseg-{name}": {"files": _test_set_reader(name)} for name in TEST_SETS},
    "folders": {"files": SplitFolders},
}


def register(card, reader):
    """Register a custom data set in the catalog.

    It is then available by name to recipes, evaluation and `load`, in the
    current process only.

    Args:
        card: A `DatasetCard`.
        reader: Function or class `(data_dir, split) -> source`. See `load`
            for the interface of a source; `PairedFiles` is a base class.

    Raises:
        ValueError: If the catalog already has a data set of this name.
    """
    cards.add(card)
    _READERS[card.name] = {"files": reader}


def load(name, data_dir, split, reader="files"):
    """Open a split of a data set.

    Args:
        name: One of `names()`.
        data_dir: Path of the folder that contains the data set in the layout
            of `card(name).layout`.
        split: One of `card(name).splits`, such as `"train"` or `"val"`.
        reader: `"files"` for the unpacked files, or, for Cityscapes, `"tfds"`
            for the data prepared by TensorFlow Datasets.

    Returns:
        A random-access source: `len(source)` is the number of records, and
        `source[i]` a dict of `"photo"`, uint8 `(height, width, 3)`, `"mask"`,
        int32 `(height, width)` of class ids or 255, and `"name"`. It has the
        attributes `classes`, `num_classes`, `ignore_label` and `names`.

    Raises:
        ValueError: If there is no such data set, split or reader, or the
            data is missing or incomplete.

    Example:
        >>> import tempfile
        >>> from gss_keras.synthetic import miniature
        >>> folder = tempfile.mkdtemp() + "/camvid"
        >>> folder = miniature.write("camvid", folder, size=(32, 48))
        >>> source = load("camvid", folder, "train")
        >>> len(source), source.num_classes
        (4, 11)
    """
    card(name)
    readers = _READERS[name]
    if reader not in readers:
        known = ", ".join(repr(known) for known in readers)
        raise ValueError(
            f"`reader` of {name} must be one of {known}. "
            f"Received: reader={reader!r}"
        )
    return readers[reader](data_dir, split)
