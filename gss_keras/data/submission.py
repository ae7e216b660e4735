"""Write predicted masks as the benchmarks take them, and read them back."""

import pathlib

import numpy as np

from gss_keras.data.cards import card
from gss_keras.data.cityscapes import LABEL_IDS
from gss_keras.data.files import read_mask
from gss_keras.maskige.mapping import IGNORE_LABEL


class Submission:
    """Writes one PNG file for each predicted mask, and reads it back.

    | data set | ids in the files | none of the classes | file |
    |---|---|---|---|
    | `cityscapes` | label ids: 7 for road to 33 | 0 | `<name>_labelIds.png` |
    | `ade20k` | 1 to 150 | 0 | `<name>.png` |
    | all others | the classes' own, from 0 | 255 | `<name>.png` |

    Cityscapes' server and its evaluation script find a prediction by the
    begin of its name, `<city>_<sequence>_<frame>`.

    Args:
        folder: Path of the folder to write into; it is made.
        dataset: Name of a data set of the catalog; by default that of the
            user's own photos and masks.
        num_classes: Number of classes, where the catalog does not know it.

    Raises:
        ValueError: If the catalog has no such data set, or does not know its
            number of classes and none from 1 to 255 is given.

    Example:
        >>> import tempfile
        >>> submission = Submission(tempfile.mkdtemp(), "ade20k")
        >>> path = submission.write("ADE_val_00000001", np.array([[0, 149]]))
        >>> path.name, submission.read("ADE_val_00000001").tolist()
        ('ADE_val_00000001.png', [[0, 149]])
    """

    def __init__(self, folder, dataset="folders", num_classes=None):
        num_classes = card(dataset).num_classes or num_classes
        if not num_classes or not 1 <= num_classes <= IGNORE_LABEL:
            raise ValueError(
                f"`num_classes` must be from 1 to {IGNORE_LABEL} for a data "
                "set whose classes are the user's. Received: "
                f"num_classes={num_classes}, dataset={dataset!r}"
            )
        self.folder = pathlib.Path(folder)
        self.num_classes = num_classes
        self._suffix, none, ids = ".png", IGNORE_LABEL, range(num_classes)
        if dataset == "cityscapes":
            self._suffix, none, ids = "_labelIds.png", 0, LABEL_IDS
        elif dataset == "ade20k":
            none, ids = 0, range(1, num_classes + 1)
        self._ids = np.full(IGNORE_LABEL + 1, none, "uint8")
        self._ids[:num_classes] = ids
        self._classes = np.full(65536, -1, "int32")
        self._classes[none] = IGNORE_LABEL
        self._classes[list(ids)] = np.arange(num_classes)

    def path_of(self, name):
        """Return the path of the file of a record, by the record's name."""
        return self.folder / f"{name}{self._suffix}"

    def write(self, name, mask):
        """Write the mask that was predicted for a record.

        Args:
            name: Name of the record; a `/` in it makes a folder.
            mask: Int array `(height, width)`: class ids, or 255 for none of
                the classes.

        Returns:
            The path of the file.

        Raises:
            ValueError: If the mask holds other ids.
            OSError: If the file cannot be written.
        """
        from PIL import Image

        mask = np.asarray(mask)
        is_class = (mask >= 0) & (mask < self.num_classes)
        if not (is_class | (mask == IGNORE_LABEL)).all():
            raise ValueError(
                f"`mask` must hold ids from 0 to {self.num_classes - 1}, or "
                f"255 for none of the classes. Received: {mask.min()} to "
                f"{mask.max()} for {name}"
            )
        path = self.path_of(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(self._ids[mask]).save(path)
        return path

    def read(self, name):
        """Read the mask of a record back.

        Args:
            name: Name of the record.

        Returns:
            Int32 array `(height, width)` of class ids, 255 for none of them.

        Raises:
            ValueError: If the file cannot be read or holds other ids.
        """
        return read_mask(self.path_of(name), self._classes)
