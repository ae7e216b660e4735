"""The seven training sets of MSeg, one by one and as one."""

import itertools
import operator

import numpy as np

from gss_keras.data.mseg.files import LayoutFiles, find_list
from gss_keras.data.mseg.layouts import layout_of
from gss_keras.data.mseg.taxonomy import (
    TRAINING_SETS,
    UNIVERSAL_CLASSES,
    to_universal,
)
from gss_keras.maskige.mapping import IGNORE_LABEL

# How often one pass over the training data goes through each set.
REPEATS = {
    "ade20k-150-relabeled": 6,
    "bdd-relabeled": 17,
    "cityscapes-19-relabeled": 40,
    "coco-panoptic-133-relabeled": 1,
    "idd-39-relabeled": 17,
    "mapillary-public65-relabeled": 7,
    "sunrgbd-37-relabeled": 24,
}


class MSegTrainingSet(LayoutFiles):
    """Reads one relabeled training set of MSeg with universal classes.

    Args:
        name: One of `TRAINING_SETS`, such as `"bdd-relabeled"`.
        data_dir: Path of the folder of all data sets, as MSeg's scripts
            download and prepare them.
        split: `"train"` or `"val"`.
        lists: Path of MSeg's folder `dataset_lists`, by default that in
            `data_dir`. Its `<name>/list/<split>.txt` says which photos to
            read; where it is absent, all are.

    Attributes:
        classes: Tuple of the 194 universal class names.
        num_classes: 194.
        ignore_label: 255, the id of unlabeled pixels in the masks.
        names: Tuple of the records' names, file names without prefix and
            suffix, with the folders below that of the photos.

    Raises:
        ValueError: If `name` or `split` is unknown, if a folder is missing,
            or if a photo has no mask or a mask no photo; when a record is
            read, see `gss_keras.data.PairedFiles`.
    """

    def __init__(self, name, data_dir, split="train", lists=None):
        ids = to_universal(name)
        _check_split(split)
        list_path = find_list(data_dir, lists, name, split)
        layout = layout_of(name, split)
        super().__init__(layout, data_dir, list_path, UNIVERSAL_CLASSES, ids)


class MSeg:
    """Reads the seven training sets of MSeg as one, small ones repeated.

    A pass over the training data goes through Cityscapes 40 times and through
    COCO once, so that every set has its share. The records follow each other
    set by set: shuffle them, as `gss_keras.data.batches` does. Validation
    goes through every set once.

    Args:
        data_dir: Path of the folder of all data sets, as MSeg's scripts
            download and prepare them.
        split: `"train"` or `"val"`.
        data_sets: Names of the sets to read, some of `TRAINING_SETS`.
        lists: As for `MSegTrainingSet`.

    Attributes:
        classes: Tuple of the 194 universal class names.
        num_classes: 194.
        ignore_label: 255, the id of unlabeled pixels in the masks.
        sources: Dict from the name of a set to its `MSegTrainingSet`.

    Raises:
        ValueError: As `MSegTrainingSet`, or if no set is named or one twice.

    Example:
        >>> import tempfile
        >>> from gss_keras.synthetic import miniature
        >>> folder = miniature.write("mseg", tempfile.mkdtemp() + "/mseg")
        >>> source = MSeg(folder, data_sets=["bdd-relabeled"])
        >>> len(source), source.num_classes, source[-1]["name"]
        (68, 194, 'bdd-relabeled/00000003-00000000')

    Reference:
        The repeats are those of the release of "Generative Semantic
        Segmentation": nearly as many of each set as COCO has photos.
    """

    def __init__(
        self, data_dir, split="train", data_sets=TRAINING_SETS, lists=None
    ):
        data_sets = tuple(data_sets)
        if not data_sets or len(set(data_sets)) < len(data_sets):
            raise ValueError(
                "`data_sets` must name at least one training set, and each "
                f"once. Received: data_sets={data_sets}"
            )
        self.classes = UNIVERSAL_CLASSES
        self.num_classes = len(UNIVERSAL_CLASSES)
        self.ignore_label = IGNORE_LABEL
        self.sources = {
            name: MSegTrainingSet(name, data_dir, split, lists)
            for name in data_sets
        }
        self._repeats = [
            REPEATS[name] if split == "train" else 1 for name in data_sets
        ]
        sizes = map(len, self.sources.values())
        parts = map(operator.mul, sizes, self._repeats)
        self._ends = np.array(list(itertools.accumulate(parts)))

    @property
    def names(self):
        """Tuple of the records' names, those of repeated records as well."""
        return tuple(
            name
            for (data_set, source), repeat in zip(
                self.sources.items(), self._repeats, strict=True
            )
            for name in [f"{data_set}/{name}" for name in source.names] * repeat
        )

    def __len__(self):
        """Return the number of records in one pass, repeats counted."""
        return int(self._ends[-1])

    def __getitem__(self, index):
        """Read one record.

        Args:
            index: Position, an int in `[-len(self), len(self))`.

        Returns:
            A dict: `"photo"`, uint8 `(height, width, 3)`, 0-255 RGB; `"mask"`,
            int32 `(height, width)`, universal ids in `[0, 194)` or 255;
            `"name"`, name of the set, a slash and name of the record.

        Raises:
            IndexError: If there is no such record.
        """
        position = operator.index(index)
        position += len(self) if position < 0 else 0
        if not 0 <= position < len(self):
            raise IndexError(
                f"`index` must be at least {-len(self)} and below "
                f"{len(self)}. Received: index={index}"
            )
        number = int(np.searchsorted(self._ends, position, side="right"))
        data_set, source = list(self.sources.items())[number]
        # From the set's end, where positions repeat every len(source).
        record = source[(position - int(self._ends[number])) % len(source)]
        return {**record, "name": f"{data_set}/{record['name']}"}


def _check_split(split):
    """Raise unless a training set has a split."""
    if split not in ("train", "val"):
        raise ValueError(
            "`split` of a training set of MSeg must be 'train' or 'val'. "
            f"Received: split={split!r}"
        )
