"""Cityscapes as prepared by TensorFlow Datasets."""

from pathlib import Path

import numpy as np

from gss_keras.constants import IGNORE_LABEL
from gss_keras.data.cards import card, check_split
from gss_keras.data.cityscapes import cityscapes_table
from gss_keras.data.files import map_ids

_BUILDER = "cityscapes/semantic_segmentation"
_ARCHIVES = ("leftImg8bit_trainvaltest.zip", "gtFine_trainvaltest.zip")
_SPLITS = {"train": "train", "val": "validation", "test": "test"}


class TfdsCityscapes:
    """Read Cityscapes through TensorFlow Datasets.

    The records are those of `Cityscapes` in a different order. They are
    stored in a few large files instead of thousands of small ones, which is
    faster on network file systems. On first use, TensorFlow Datasets converts
    the archives, which needs TensorFlow; reading does not.

    Args:
        data_dir: Path of the data folder of TensorFlow Datasets.
        split: `"train"` (2975 photos), `"val"` (500) or `"test"` (1525).
        manual_dir: Path of the folder of the two downloaded archives, needed
            once. Defaults to `downloads/manual` in `data_dir`.

    Attributes:
        classes: Tuple of the class names.
        num_classes: Number of classes.
        ignore_label: 255, the id of unlabeled pixels in the masks.

    Raises:
        ImportError: If `tensorflow_datasets` is not installed.
        ValueError: If `split` is unknown or the archives are missing. When a
            record is read, if it contains an invalid id.
    """

    def __init__(self, data_dir, split="train", manual_dir=None):
        check_split("cityscapes", split)
        self.classes = card("cityscapes").classes
        self.num_classes = len(self.classes)
        self.ignore_label = IGNORE_LABEL
        self._arguments = (data_dir, split, manual_dir)
        self._is_labeled = split != "test"
        self._table = cityscapes_table()
        builder = _prepare_builder(Path(data_dir), manual_dir)
        self._records = builder.as_data_source(_SPLITS[split])
        self._encoded_records = builder.as_data_source(
            _SPLITS[split], decoders=_skip_image_decoding()
        )
        self._names = None

    def __reduce__(self):
        """Pickle the arguments: worker processes reopen the files."""
        return type(self), self._arguments

    @property
    def names(self):
        """Tuple of the records' names; the first access reads all files."""
        if self._names is None:
            self._names = tuple(
                _name(self._encoded_records[index])
                for index in range(len(self))
            )
        return self._names

    def __len__(self):
        """Return the number of records."""
        return len(self._records)

    def __getitem__(self, index):
        """Read one record.

        Args:
            index: Position, an int in `[0, len(self))`.

        Returns:
            A dict: `"photo"`, uint8 `(height, width, 3)`, 0-255 RGB; `"mask"`,
            int32 `(height, width)`, class ids or 255; `"name"`, a str.
        """
        if not 0 <= index < len(self):
            raise IndexError(
                f"`index` must be at least 0 and below {len(self)}. "
                f"Received: index={index}"
            )
        record = self._records[index]
        name = _name(record)
        ids = np.asarray(record["segmentation_label"])[..., 0]
        mask = np.full(ids.shape, IGNORE_LABEL, "int32")
        if self._is_labeled:
            mask = map_ids(ids, self._table, f"record {name}")
        photo = np.asarray(record["image_left"])
        return {"photo": photo, "mask": mask, "name": name}


def _name(record):
    """Return the name of a record as a str."""
    name = record["image_id"]
    return name.decode() if isinstance(name, bytes) else str(name)


def _skip_image_decoding():
    """Return decoders that leave the images encoded."""
    from tensorflow_datasets import decode

    features = ("image_left", "segmentation_label")
    return dict.fromkeys(features, decode.SkipDecoding())


def _prepare_builder(data_dir, manual_dir):
    """Return the builder, converting the archives on first use."""
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise ImportError(
            "Reading through TensorFlow Datasets needs the package "
            "`tensorflow_datasets`. Install it with "
            "`pip install gss-keras[tfds]`, or use `reader='files'`."
        ) from error

    builder = tensorflow_datasets.builder(
        _BUILDER, data_dir=data_dir, file_format="array_record"
    )
    if builder.is_prepared():
        return builder
    manual_dir = Path(manual_dir or data_dir / "downloads" / "manual")
    missing = [name for name in _ARCHIVES if not (manual_dir / name).is_file()]
    if missing:
        raise ValueError(
            "`data_dir` must contain Cityscapes as prepared by TensorFlow "
            f"Datasets, or {manual_dir} the archives "
            f"{' and '.join(_ARCHIVES)}; "
            f"missing: {', '.join(missing)}. Get them from "
            f"{card('cityscapes').url}. Received: data_dir={str(data_dir)!r}"
        )
    builder.download_and_prepare(
        download_config=tensorflow_datasets.download.DownloadConfig(
            manual_dir=manual_dir
        )
    )
    return builder
