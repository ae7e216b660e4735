"""Read photos and masks from disk, one record at a time."""

from pathlib import Path

import numpy as np

from gss_keras.maskige.mapping import IGNORE_LABEL

_PHOTO_ENDINGS = (".png", ".jpg", ".jpeg")
_MASK_ENDINGS = (".png",)


class Folders:
    """Reads a folder of photos and a folder of masks with matching names.

    `photos/street.jpg` belongs to `masks/street.png`. A mask is a gray or
    palette PNG whose pixel values are class ids. Records are read when they
    are asked for, in the order of their names, so a source is small, can be
    sent to worker processes and works as random access for `batches`.

    Args:
        photos: Path of the folder of photos, RGB PNG or JPEG files.
        masks: Path of the folder of masks, PNG files with one channel.
        classes: The class names in the order of their ids: a sequence of
            strings, or the path of a text file with one name a line. At most
            255.
        ignore: Id or ids which mean "no label" in the files, on top of 255.
            They become 255 in the masks.

    Attributes:
        classes: Tuple of the class names.
        num_classes: Number of classes.
        ignore_label: 255, the id of unlabeled pixels in the masks.
        names: Tuple of the file names without ending, in order.

    Raises:
        ValueError: If a folder is missing or empty, if a photo has no mask or
            a mask no photo, or, when such a record is read, if a file cannot
            be read, has the wrong number of channels, holds an id that is
            neither a class nor ignored, or if photo and mask differ in size.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from gss_keras.data import Folders, streets
        >>> folder = Path(tempfile.mkdtemp()) / "streets"
        >>> _ = streets.draw(folder, count=2, seed=0)
        >>> source = Folders(
        ...     folder / "images", folder / "masks", folder / "classes.txt"
        ... )
        >>> len(source), source[0]["photo"].shape[-1]
        (2, 3)
    """

    def __init__(self, photos, masks, classes, ignore=()):
        photo_paths = _pictures_in(photos, "photos", _PHOTO_ENDINGS)
        mask_paths = _pictures_in(masks, "masks", _MASK_ENDINGS)
        _check_pairs(photo_paths, mask_paths, photos, masks)
        self.classes = _as_classes(classes)
        self.num_classes = len(self.classes)
        self.ignore_label = IGNORE_LABEL
        self.names = tuple(sorted(photo_paths))
        self._photo_paths = [photo_paths[name] for name in self.names]
        self._mask_paths = [mask_paths[name] for name in self.names]
        self._ids = _id_table(self.num_classes, ignore)

    def __len__(self):
        """Return the number of records."""
        return len(self.names)

    def __getitem__(self, index):
        """Read one record.

        Args:
            index: Position, an int in `[-len(self), len(self))`.

        Returns:
            A dict: `"photo"`, uint8 `(height, width, 3)`, 0-255 RGB; `"mask"`,
            int32 `(height, width)`, class ids in `[0, num_classes)` or 255;
            `"name"`, the file name without ending.
        """
        photo = _read_photo(self._photo_paths[index])
        path = self._mask_paths[index]
        mask = _read_mask(path, self._ids, self.num_classes)
        if photo.shape[:2] != mask.shape:
            raise ValueError(
                "A mask must have the height and width of its photo, "
                f"{photo.shape[:2]} for {self._photo_paths[index]}. "
                f"Received: {mask.shape} for {path}"
            )
        return {"photo": photo, "mask": mask, "name": self.names[index]}


class CamVid(Folders):
    """Reads CamVid in the layout of the SegNet tutorial.

    Real street photos of 360 x 480 with 11 classes. The files hold 11 for
    void, which becomes 255. The data set is not part of this package and its
    license is for personal and research use.

    Args:
        data_dir: Path of the folder that holds `train/`, `trainannot/`,
            `val/` and `valannot/`.
        split: `"train"` (367 photos), `"val"` (101) or `"test"`.

    Raises:
        ValueError: If `split` is unknown or the folders are missing.

    Reference:
        Brostow, Fauqueur, Cipolla, "Semantic object classes in video:
        a high-definition ground truth database", 2009.
    """

    class_names = (
        "sky",
        "building",
        "pole",
        "road",
        "pavement",
        "tree",
        "sign",
        "fence",
        "car",
        "pedestrian",
        "bicyclist",
    )

    def __init__(self, data_dir, split="train"):
        if split not in ("train", "val", "test"):
            raise ValueError(
                "`split` must be 'train', 'val' or 'test'. "
                f"Received: split={split!r}"
            )
        data_dir = Path(data_dir)
        photos, masks = data_dir / split, data_dir / f"{split}annot"
        if not (photos.is_dir() and masks.is_dir()):
            raise ValueError(
                "`data_dir` must hold CamVid in the layout of the SegNet "
                f"tutorial, with the folders `{split}/` (photos) and "
                f"`{split}annot/` (masks). Received: data_dir={str(data_dir)!r}"
            )
        super().__init__(photos, masks, self.class_names, ignore=11)


def load_all(source):
    """Read every record of a source into two arrays.

    For small sets: memory instead of files. All photos must share one size.

    Args:
        source: A source such as `Folders`.

    Returns:
        A pair: photos, uint8 `(len(source), height, width, 3)`, 0-255, and
        masks, int32 `(len(source), height, width)`, class ids or 255.

    Raises:
        ValueError: If the photos differ in size.
    """
    records = [source[index] for index in range(len(source))]
    return stack(records)


def stack(records):
    """Stack records into a batch of photos and a batch of masks.

    Args:
        records: Non-empty sequence of records of one size.

    Returns:
        A pair: photos, uint8 `(batch, height, width, 3)`, and masks, int32
        `(batch, height, width)`.

    Raises:
        ValueError: If the photos differ in size.
    """
    for record in records:
        if record["photo"].shape != records[0]["photo"].shape:
            raise ValueError(
                "Photos of one batch must have one size: crop or pad them "
                "(`augmentation=Augmentation(crop=...)` or `Padding(...)`), "
                "or use `batch_size=1`. Received: "
                f"{records[0]['photo'].shape[:2]} for {records[0]['name']} "
                f"and {record['photo'].shape[:2]} for {record['name']}"
            )
    photos = np.stack([record["photo"] for record in records])
    masks = np.stack([record["mask"] for record in records])
    return photos, masks.astype("int32")


def _pictures_in(folder, argument, endings):
    """Map file name without ending -> path for the pictures in a folder."""
    folder = Path(folder)
    kinds = " or ".join(endings)
    if not folder.is_dir():
        raise ValueError(
            f"`{argument}` must be an existing folder of {kinds} files. "
            f"Received: {argument}={str(folder)!r}"
        )
    paths = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in endings or path.name.startswith("."):
            continue
        if path.stem in paths:
            raise ValueError(
                f"`{argument}` must hold one file for each name. Received: "
                f"{paths[path.stem]} and {path}"
            )
        paths[path.stem] = path
    if not paths:
        raise ValueError(
            f"`{argument}` must hold {kinds} files, and holds none. "
            f"Received: {argument}={str(folder)!r}"
        )
    return paths


def _check_pairs(photo_paths, mask_paths, photos, masks):
    """Raise unless photos and masks have the same names."""
    lonely_photos = sorted(set(photo_paths) - set(mask_paths))
    if lonely_photos:
        raise ValueError(
            "Every photo must have a mask of its name. Received: no mask in "
            f"{str(masks)!r} for {len(lonely_photos)} of {len(photo_paths)} "
            f"photos: {', '.join(lonely_photos[:3])}"
        )
    lonely_masks = sorted(set(mask_paths) - set(photo_paths))
    if lonely_masks:
        raise ValueError(
            "Every mask must have a photo of its name. Received: no photo in "
            f"{str(photos)!r} for {len(lonely_masks)} of {len(mask_paths)} "
            f"masks: {', '.join(lonely_masks[:3])}"
        )


def _as_classes(classes):
    """Return the class names as a tuple, read from a file if it is a path."""
    names = classes
    if isinstance(classes, str | Path):
        path = Path(classes)
        if not path.is_file():
            raise ValueError(
                "`classes` must be a sequence of names or the path of a text "
                "file with one name a line. Received: "
                f"classes={str(classes)!r}"
            )
        lines = path.read_text(encoding="utf-8").splitlines()
        names = [line.strip() for line in lines if line.strip()]
    names = tuple(str(name) for name in names)
    if not 1 <= len(names) <= IGNORE_LABEL or len(set(names)) != len(names):
        raise ValueError(
            f"`classes` must be 1 to {IGNORE_LABEL} different names. "
            f"Received: {len(names)} names, {len(set(names))} of them different"
        )
    return names


def _id_table(num_classes, ignore):
    """Return the id of a mask for every id a file can hold, -1 if none."""
    table = np.full(65536, -1, "int32")
    table[:num_classes] = np.arange(num_classes)
    ignored = np.atleast_1d(np.asarray(ignore, "int64"))
    if ignored.size and not (0 <= ignored.min() <= ignored.max() < 65536):
        raise ValueError(
            f"`ignore` must be ids from 0 to 65535. Received: ignore={ignore}"
        )
    table[ignored] = IGNORE_LABEL
    table[IGNORE_LABEL] = IGNORE_LABEL
    return table


def _read_photo(path):
    """Read an RGB photo as uint8 (height, width, 3)."""
    mode, pixels = _read_picture(path)
    if mode != "RGB":
        raise ValueError(
            "A photo must have three channels, red, green and blue. "
            f"Received: {path} of mode {mode!r}"
        )
    return pixels


def _read_mask(path, table, num_classes):
    """Read class ids as int32 (height, width)."""
    mode, ids = _read_picture(path)
    if ids.ndim != 2 or ids.dtype.kind == "f":
        raise ValueError(
            "A mask must have one channel of class ids, as a gray or palette "
            f"PNG has. Received: {path} of mode {mode!r}"
        )
    ids = ids.astype("int32")
    mask = table[np.clip(ids, 0, 65535)]
    if mask.min() < 0:
        unknown = np.unique(ids[mask < 0])
        raise ValueError(
            f"A mask must hold class ids from 0 to {num_classes - 1}, or 255 "
            f"to ignore a pixel; name other ids in `ignore`. Received: {path} "
            f"with {', '.join(map(str, unknown[:8]))}"
        )
    return mask


def _read_picture(path):
    """Return Pillow's mode and the pixels of a picture file."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return picture.mode, np.array(picture)
    except (OSError, SyntaxError) as error:
        raise ValueError(
            f"A photo or mask must be a readable PNG or JPEG file. "
            f"Received: {path} ({error})"
        ) from error
