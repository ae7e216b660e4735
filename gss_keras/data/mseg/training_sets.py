"""The seven training sets of MSeg, individually and combined."""

import itertools
import operator

import numpy as np

from gss_keras.constants import IGNORE_LABEL
from gss_keras.data.mseg.files import LayoutFiles, find_list
from gss_keras.data.mseg.layouts import layout_of
from gss_keras.data.mseg.taxonomy import (
    TRAINING_SETS,
    UNIVERSAL_CLASSES,
    to_universal,
)

# How often each data set is repeated in one training epoch.
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
    """Read one relabeled MSeg training set with universal classes.

    Args:
        name: One of `TRAINING_SETS`, such as `"bdd-relabeled"`.
        data_dir: Path of the folder of all data sets, as downloaded and
            prepared by MSeg's scripts.
        split: `"train"` or `"val"`.
        lists: Path of MSeg's folder `dataset_lists`, by default the one in
            `data_dir`. Its `<name>/list/<split>.txt` lists the photos to
            read; without it, all photos are read.

    Attributes:
        classes: Tuple of the 194 universal class names.
        num_classes: 194.
        ignore_label: 255, the id of unlabeled pixels in the masks.
        names: Tuple of the records' names: paths relative to the photo
            folder, without prefix and suffix.

    Raises:
        ValueError: If `name` or `split` is unknown, if a folder is missing,
            or if a photo has no mask or a mask no photo. See
            `gss_keras.data.PairedFiles` for errors in single files.
    """

    def __init__(self, name, data_dir, split="train", lists=None):
        ids = to_universal(name)
        _check_split(split)
        list_path = find_list(data_dir, lists, name, split)
        layout = layout_of(name, split)
        super().__init__(layout, data_dir, list_path, UNIVERSAL_CLASSES, ids)


class MSeg:
    """Concatenate the seven MSeg training sets, oversampling the small ones.

    One training epoch repeats Cityscapes 40 times and COCO once, so that the
    data sets are balanced. Records are ordered by data set: use
    `gss_keras.data.batches(..., shuffle=True)`. The validation split is not
    repeated.

    Args:
        data_dir: Path of the folder of all data sets, as downloaded and
            prepared by MSeg's scripts.
        split: `"train"` or `"val"`.
        data_sets: Names of the data sets to read, a subset of
            `TRAINING_SETS`.
        lists: See `MSegTrainingSet`.

    Attributes:
        classes: Tuple of the 194 universal class names.
        num_classes: 194.
        ignore_label: 255, the id of unlabeled pixels in the masks.
        sources: Dict from the name of a data set to its `MSegTrainingSet`.

    Raises:
        ValueError: If `data_sets` is empty or has duplicates, or for any
            reason that `MSegTrainingSet` raises it.

    Example:
        >>> import tempfile
        >>> from gss_keras.synthetic import miniature
        >>> folder = miniature.write("mseg", tempfile.mkdtemp() + "/mseg")
        >>> source = MSeg(folder, data_sets=["bdd-relabeled"])
        >>> len(source), source.num_classes, source[-1]["name"]
        (68, 194, 'bdd-relabeled/00000003-00000000')

    Reference:
        The repeats are those of the release of "Generative Semantic
        Segmentation", which bring each data set close to the size of COCO.
    """

    def __init__(
        self, data_dir, split="train", data_sets=TRAINING_SETS, lists=None
    ):
        data_sets = tuple(data_sets)
        if not data_sets or len(set(data_sets)) < len(data_sets):
            raise ValueError(
                "`data_sets` must name at least one training set, and each "
                f"training set once. Received: data_sets={data_sets}"
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
        repeated_sizes = map(operator.mul, sizes, self._repeats)
        self._ends = np.array(list(itertools.accumulate(repeated_sizes)))

    @property
    def names(self):
        """Tuple of the names of all records, repeats included."""
        return tuple(
            name
            for (data_set, source), repeat in zip(
                self.sources.items(), self._repeats, strict=True
            )
            for name in [f"{data_set}/{name}" for name in source.names] * repeat
        )

    def __len__(self):
        """Return the number of records, repeats included."""
        return int(self._ends[-1])

    def __getitem__(self, index):
        """Read one record.

        Args:
            index: Position, an int in `[-len(self), len(self))`.

        Returns:
            A dict: `"photo"`, uint8 `(height, width, 3)`, 0-255 RGB; `"mask"`,
            int32 `(height, width)`, universal ids in `[0, 194)` or 255;
            `"name"`, `<data set>/<record name>`.

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
        # The offset from the data set's end is negative, so the modulo gives
        # the position in the source whatever the number of repeats.
        record = source[(position - int(self._ends[number])) % len(source)]
        return {**record, "name": f"{data_set}/{record['name']}"}


def _check_split(split):
    """Raise ValueError unless a split is "train" or "val"."""
    if split not in ("train", "val"):
        raise ValueError(
            "`split` of an MSeg training set must be 'train' or 'val'. "
            f"Received: split={split!r}"
        )
