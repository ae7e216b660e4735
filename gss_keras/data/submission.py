"""Write predicted masks in the benchmarks' formats, and read them back."""

import pathlib

import numpy as np

from gss_keras.constants import IGNORE_LABEL
from gss_keras.data.cards import card
from gss_keras.data.cityscapes import LABEL_IDS
from gss_keras.data.files import read_mask


class Submission:
    """Write each predicted mask as a PNG file, and read it back.

    | data set | ids in the files | id for no class | file |
    |---|---|---|---|
    | `cityscapes` | label ids: 7 for road to 33 | 0 | `<name>_labelIds.png` |
    | `ade20k` | 1 to 150 | 0 | `<name>.png` |
    | all others | class ids, from 0 | 255 | `<name>.png` |

    The Cityscapes server and its evaluation script find a prediction by the
    prefix of its file name, `<city>_<sequence>_<frame>`.

    Args:
        folder: Path of the folder to write into; created if missing.
        dataset: Name of a data set in the catalog. Defaults to `"folders"`,
            the user's own photos and masks.
        num_classes: Number of classes, required if the card of the data set
            lists no classes.

    Raises:
        ValueError: If the catalog has no such data set, or if `num_classes`
            is required and not between 1 and 255.

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
                "set without classes in the catalog. Received: "
                f"num_classes={num_classes}, dataset={dataset!r}"
            )
        self.folder = pathlib.Path(folder)
        self.num_classes = num_classes
        self._suffix, void, ids = ".png", IGNORE_LABEL, range(num_classes)
        if dataset == "cityscapes":
            self._suffix, void, ids = "_labelIds.png", 0, LABEL_IDS
        elif dataset == "ade20k":
            void, ids = 0, range(1, num_classes + 1)
        self._class_to_label = np.full(IGNORE_LABEL + 1, void, "uint8")
        self._class_to_label[:num_classes] = ids
        self._label_to_class = np.full(65536, -1, "int32")
        self._label_to_class[void] = IGNORE_LABEL
        self._label_to_class[list(ids)] = np.arange(num_classes)

    def path_of(self, name):
        """Return the path of a record's file."""
        return self.folder / f"{name}{self._suffix}"

    def write(self, name, mask):
        """Write the predicted mask of a record.

        Args:
            name: Name of the record; a `/` in it creates a subfolder.
            mask: Int array `(height, width)`: class ids, or 255 for no class.

        Returns:
            The path of the file.

        Raises:
            ValueError: If the mask contains other ids.
            OSError: If the file cannot be written.
        """
        from PIL import Image

        mask = np.asarray(mask)
        is_class = (mask >= 0) & (mask < self.num_classes)
        if not (is_class | (mask == IGNORE_LABEL)).all():
            raise ValueError(
                f"`mask` must contain ids from 0 to {self.num_classes - 1}, "
                f"or 255 for no class. Received: {mask.min()} to {mask.max()} "
                f"for {name}"
            )
        path = self.path_of(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(self._class_to_label[mask]).save(path)
        return path

    def read(self, name):
        """Read the predicted mask of a record.

        Args:
            name: Name of the record.

        Returns:
            Int32 array `(height, width)` of class ids, 255 for no class.

        Raises:
            ValueError: If the file cannot be read or contains other ids.
        """
        return read_mask(self.path_of(name), self._label_to_class)
