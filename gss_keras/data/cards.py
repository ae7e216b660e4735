"""Data set cards: classes, colors, splits, folder layout and license."""

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
    """Describe a data set.

    Attributes:
        name: Name in the catalog, such as `"cityscapes"`.
        title: Human-readable name.
        classes: Tuple of the class names in the order of their ids; empty for
            `"folders"`, whose classes are the user's.
        colors: uint8 array `(num_classes, 3)`, the customary RGB colors of
            the classes, 0-255. They are not always distinct: ADE20K's road
            and skyscraper share one.
        splits: Dict from the name of a split to its official number of
            photos, or `None` if there is none.
        layout: Multi-line listing of the unpacked folders and files.
        license: Short summary of the license.
        url: Download address.
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
    return tuple(_load_cards())


def card(name):
    """Return the card of a data set.

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
    entry = _load_cards()[name]
    if isinstance(entry, DatasetCard):
        return entry
    entry = dict(entry)
    colors = entry["colors"]
    if isinstance(colors, str):
        colors = palettes.named(colors)
    entry["colors"] = np.array(colors, "uint8").reshape(-1, 3)
    if isinstance(entry["classes"], str):
        entry["classes"] = class_names(entry["classes"])
    entry["classes"] = tuple(entry["classes"])
    entry["layout"] = "\n".join(entry["layout"])
    return DatasetCard(name=name, **entry)


def add(card):
    """Add a card to the catalog, in the current process only.

    Args:
        card: A `DatasetCard`.

    Raises:
        ValueError: If the catalog already has a data set of this name.
    """
    if card.name in names():
        raise ValueError(
            "`card` must have a name that is not in the catalog yet. "
            f"Received: card.name={card.name!r}"
        )
    _load_cards()[card.name] = card


def check_split(name, split):
    """Raise ValueError unless a data set has the given split.

    Args:
        name: One of `names()`.
        split: Name of the split.

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
    """Raise ValueError unless the folders of a data set exist.

    Args:
        name: One of `names()`.
        data_dir: Path that the user passed.
        *folders: Paths of the required folders.

    Raises:
        ValueError: If a folder is missing. The message shows the expected
            layout and the download address.
    """
    for folder in folders:
        if not pathlib.Path(folder).is_dir():
            dataset = card(name)
            layout = "\n    ".join(dataset.layout.splitlines())
            raise ValueError(
                f"`data_dir` must contain {dataset.title}; the folder "
                f"{folder} is missing. Expected in `data_dir`:\n    {layout}\n"
                f"Get it from {dataset.url}. License: {dataset.license}. "
                f"Received: data_dir={str(data_dir)!r}"
            )


@functools.cache
def _load_cards():
    """Read `catalog.json`, a dict from data set names to card entries."""
    path = pathlib.Path(__file__).with_name("catalog.json")
    return json.loads(path.read_text(encoding="utf-8"))
