"""Find and read the photos and masks of a folder layout."""

import os
from pathlib import Path

from gss_keras.data.mseg.layouts import SCRIPTS
from gss_keras.data.sources import PairedFiles


class LayoutFiles(PairedFiles):
    """Read the photo and mask pairs of a `Layout`.

    Stores one string per record and builds paths lazily, since COCO alone
    has over 100,000 photos.

    Args:
        layout: A `Layout`.
        data_dir: Path of the folder of all data sets.
        list_path: Path of a text file that lists the records, or `None` for
            all files in the folders. Each line is a stem, or the paths of
            photo and mask relative to the root, separated by a space, as in
            MSeg's lists.
        classes: The class names in the order of their ids.
        ids: Lookup table, see `PairedFiles`.

    Raises:
        ValueError: If a folder or the list is missing or empty, if a line of
            the list does not match the layout, or if a photo has no mask or a
            mask no photo.
    """

    def __init__(self, layout, data_dir, list_path, classes, ids):
        root = Path(data_dir) / layout.root
        for folder in (root / layout.photos, root / layout.masks):
            if not folder.is_dir():
                raise ValueError(
                    "`data_dir` must contain the data sets as downloaded and "
                    f"prepared by MSeg's scripts, see {SCRIPTS}. Received: "
                    f"data_dir={str(data_dir)!r}, without the folder {folder}"
                )
        if list_path is None:
            stems = _scan(layout, root)
        else:
            stems = _read_list(layout, root, list_path)
        super().__init__(stems, (), (), classes, ids)
        self.photo_paths = _LazyPaths(root, layout.photo_path, self.names)
        self.mask_paths = _LazyPaths(root, layout.mask_path, self.names)


def find_list(data_dir, lists, name, split):
    """Return the path of a data set's list, or `None` if there is none.

    Args:
        data_dir: Path of the folder of all data sets.
        lists: Path of a folder of lists, or `None` for `dataset_lists` in
            `data_dir`.
        name: Name of the data set.
        split: `"train"` or `"val"`.

    Raises:
        ValueError: If `lists` is given and is not a folder.
    """
    folder = Path(data_dir) / "dataset_lists" if lists is None else Path(lists)
    if lists is not None and not folder.is_dir():
        raise ValueError(
            f"`lists` must be the folder `mseg/dataset_lists` from {SCRIPTS}. "
            f"Received: lists={str(lists)!r}"
        )
    path = folder / name / "list" / f"{split}.txt"
    return path if path.is_file() else None


class _LazyPaths:
    """Build the paths of records on access."""

    def __init__(self, root, path_of, stems):
        self._root = str(root)
        self._path_of = path_of
        self._stems = stems

    def __len__(self):
        return len(self._stems)

    def __getitem__(self, index):
        return os.path.join(self._root, self._path_of(self._stems[index]))


def _scan(layout, root):
    """Return the sorted stems; photos and masks must have the same stems."""
    photos = {layout.photo_stem(path) for path in _walk(root, layout.photos)}
    masks = {layout.mask_stem(path) for path in _walk(root, layout.masks)}
    photos.discard(None)
    masks.discard(None)
    if not photos:
        raise ValueError(
            f"`data_dir` must contain photos whose names end in "
            f"{layout.photo_suffix!r}. Received: none in "
            f"{root / layout.photos}"
        )
    for path_of, unpaired in (
        (layout.mask_path, photos - masks),
        (layout.photo_path, masks - photos),
    ):
        if unpaired:
            missing = [str(root / path_of(stem)) for stem in sorted(unpaired)]
            raise ValueError(
                "Every photo must have a mask and every mask a photo. "
                f"Received: {len(photos)} photos and {len(masks)} masks, and "
                f"{len(missing)} files missing: {', '.join(missing[:3])}. "
                "Unpack them again, or list the photos to read in a text "
                "file, see `lists`."
            )
    return sorted(photos)


def _walk(root, folder):
    """Yield the paths, relative to the root, of all files in a folder."""
    for directory, _, names in os.walk(root / folder):
        relative = os.path.relpath(directory, root)
        for name in names:
            yield name if relative == "." else os.path.join(relative, name)


def _read_list(layout, root, path):
    """Return the stems in a list, in order."""
    lines = path.read_text(encoding="utf-8").splitlines()
    stems = [
        _read_line(layout, line.split(), path) for line in lines if line.strip()
    ]
    if not stems or len(set(stems)) < len(stems):
        raise ValueError(
            "A list must name at least one photo, and each photo once. "
            f"Received: {len(stems)} photos, {len(set(stems))} of them "
            f"distinct, in {path}"
        )
    files = [
        path_of(stem)
        for path_of in (layout.photo_path, layout.mask_path)
        for stem in stems
    ]
    # Path objects take several times as long, and COCO has 236,574 files.
    missing = [
        file for file in files if not os.path.exists(os.path.join(root, file))
    ]
    if missing:
        raise ValueError(
            "All photos and masks in a list must exist. Received: "
            f"{path} with {len(missing)} of {len(files)} files missing in "
            f"{root}: {', '.join(missing[:3])}. Unpack them again."
        )
    return stems


def _read_line(layout, words, path):
    """Parse a line, a stem or the paths of photo and mask, into a stem."""
    if len(words) == 1:
        return words[0]
    paths = [os.path.normpath(word) for word in words]
    stem = layout.photo_stem(paths[0])
    if stem is None or paths[1:] != [layout.mask_path(stem)]:
        raise ValueError(
            "Each line of a list must be the stem of a photo, or the paths of "
            f"photo and mask such as {layout.photo_path('STEM')} "
            f"{layout.mask_path('STEM')}. Received: {' '.join(words)!r} in "
            f"{path}"
        )
    return stem
