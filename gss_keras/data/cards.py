"""What is known of each data set: classes, colors, splits, layout, license."""

import dataclasses
import difflib
import functools
import json
import pathlib

import numpy as np

from gss_keras.data.mseg.taxonomy import class_names
from gss_keras.maskige import palettes


@dataclasses.dataclass(frozen=True, eq=False)
class DatasetCard:
    """Describes a data set.

    Attributes:
        name: Name in the catalog, such as `"cityscapes"`.
        title: What the data set is, for people.
        classes: Tuple of the class names in the order of their ids; empty for
            `"folders"`, whose classes are the user's.
        colors: uint8 array `(num_classes, 3)`, the colors in which the data
            set is usually shown, 0-255. They need not differ: ADE20K's road
            and skyscraper share one.
        splits: Dict from the name of a split to its official number of
            photos, `None` where there is none.
        layout: The folders and files as they are unpacked, a text of lines.
        license: What the data may be used for, in short.
        url: Where to get it.
    """

    name: str
    title: str
    classes: tuple
    colors: np.ndarray
    splits: dict
    layout: str
    license: str
    url: str

    @property
    def num_classes(self):
        """Number of classes."""
        return len(self.classes)


def names():
    """Return the names of the data sets in the catalog, a tuple of str."""
    return tuple(_stored())


def card(name):
    """Look up what is known of a data set.

    Args:
        name: One of `names()`.

    Returns:
        A `DatasetCard`.

    Raises:
        ValueError: If the catalog has no such data set.

    Example:
        >>> card("cityscapes").classes[:3]
        ('road', 'sidewalk', 'building')
        >>> card("ade20k").colors.shape, card("ade20k").splits["val"]
        ((150, 3), 2000)
    """
    if name not in names():
        near = difflib.get_close_matches(str(name).lower(), names(), 3, 0)
        raise ValueError(
            f"`name` must be a data set of the catalog: {', '.join(names())}. "
            f"Nearest: {', '.join(near)}. Received: name={name!r}"
        )
    entry = dict(_stored()[name])
    colors = entry["colors"]
    if isinstance(colors, str):
        colors = palettes.named(colors)
    entry["colors"] = np.array(colors, "uint8").reshape(-1, 3)
    if isinstance(entry["classes"], str):
        entry["classes"] = class_names(entry["classes"])
    entry["classes"] = tuple(entry["classes"])
    entry["layout"] = "\n".join(entry["layout"])
    return DatasetCard(name=name, **entry)


def check_split(name, split):
    """Raise unless a data set has a split.

    Args:
        name: One of `names()`.
        split: The split asked for.

    Raises:
        ValueError: If the data set has no such split.
    """
    splits = card(name).splits
    if split not in splits:
        known = ", ".join(repr(known) for known in splits)
        raise ValueError(
            f"`split` of {name} must be one of {known}. "
            f"Received: split={split!r}"
        )


def check_folders(name, data_dir, *folders):
    """Raise unless the folders of a data set exist.

    Args:
        name: One of `names()`.
        data_dir: Path which the user gave.
        *folders: Paths of the folders that are needed.

    Raises:
        ValueError: If a folder is missing, with the layout that is expected
            and where to get the data.
    """
    for folder in folders:
        if not pathlib.Path(folder).is_dir():
            known = card(name)
            layout = "\n    ".join(known.layout.splitlines())
            raise ValueError(
                f"`data_dir` must hold {known.title}; the folder {folder} is "
                f"missing. Expected in `data_dir`:\n    {layout}\n"
                f"Get it from {known.url}. License: {known.license}. "
                f"Received: data_dir={str(data_dir)!r}"
            )


@functools.cache
def _stored():
    """Return the file of cards."""
    path = pathlib.Path(__file__).with_name("catalog.json")
    return json.loads(path.read_text(encoding="utf-8"))
