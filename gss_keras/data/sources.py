"""Read photos and masks from disk, one record at a time."""

from pathlib import Path

import numpy as np

from gss_keras.data.files import REMEDY, id_table, read_mask, read_photo
from gss_keras.maskige.mapping import IGNORE_LABEL

_PHOTO_ENDINGS = (".png", ".jpg", ".jpeg")
_MASK_ENDINGS = (".png",)


class PairedFiles:
    """Reads pairs of a photo file and a mask file.

    What every source of this package is underneath: a list of pairs and a
    table of what the ids in the files mean. Records are read when they are
    asked for, so a source is small, can be sent to worker processes and works
    as random access for `batches`.

    Args:
        names: Name of each record, unlike all others.
        photo_paths: Path of each record's photo, a PNG or JPEG file in RGB or
            gray.
        mask_paths: Path of each record's mask, a PNG file with one channel,
            or `None` for a photo without labels: its mask is all 255.
        classes: The class names in the order of their ids, at most 255.
        ids: int32 array `(65536,)`: the class id, or 255, of every id that a
            file can hold, and -1 for ids that it must not; see
            `gss_keras.data.files.id_table`.

    Attributes:
        classes: Tuple of the class names.
        num_classes: Number of classes.
        ignore_label: 255, the id of unlabeled pixels in the masks.
        names: Tuple of the records' names, in order.

    Raises:
        ValueError: When such a record is read, if a file cannot be read, has
            the wrong number of channels, holds an id that is neither a class
            nor ignored, or if photo and mask differ in size.
    """

    def __init__(self, names, photo_paths, mask_paths, classes, ids):
        self.classes = tuple(classes)
        self.num_classes = len(self.classes)
        self.ignore_label = IGNORE_LABEL
        self.names = tuple(names)
        self.photo_paths = list(photo_paths)
        self.mask_paths = list(mask_paths)
        self._ids = ids

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
            `"name"`, the record's name.
        """
        photo = read_photo(self.photo_paths[index])
        path = self.mask_paths[index]
        if path is None:
            mask = np.full(photo.shape[:2], IGNORE_LABEL, "int32")
        else:
            mask = self._read_mask(path)
        if photo.shape[:2] != mask.shape:
            raise ValueError(
                "A mask must have the height and width of its photo, "
                f"{photo.shape[:2]} for {self.photo_paths[index]}. "
                f"Received: {mask.shape} for {path}. {REMEDY}"
            )
        return {"photo": photo, "mask": mask, "name": self.names[index]}

    def _read_mask(self, path):
        """Read the mask of one record, int32 `(height, width)`."""
        return read_mask(path, self._ids)


class Folders(PairedFiles):
    """Reads a folder of photos and a folder of masks with matching names.

    `photos/street.jpg` belongs to `masks/street.png`. A mask is a gray or
    palette PNG whose pixel values are class ids. Records come in the order
    of their names.

    Args:
        photos: Path of the folder of photos, PNG or JPEG files in RGB or
            gray.
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
        >>> from gss_keras.data import Folders
        >>> from gss_keras.synthetic import streets
        >>> folder = Path(tempfile.mkdtemp()) / "streets"
        >>> _ = streets.draw(folder, count=2, seed=0)
        >>> source = Folders(
        ...     folder / "images", folder / "masks", folder / "classes.txt"
        ... )
        >>> len(source), source[0]["photo"].shape[-1]
        (2, 3)
    """

    def __init__(self, photos, masks, classes, ignore=()):
        names, photo_paths, mask_paths = pair_files(
            pictures_in(photos, "photos", _PHOTO_ENDINGS),
            pictures_in(masks, "masks", _MASK_ENDINGS),
            photos,
            masks,
        )
        classes = read_classes(classes)
        table = id_table(len(classes), ignore)
        super().__init__(names, photo_paths, mask_paths, classes, table)


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


def pictures_in(folder, argument, endings):
    """List the pictures in a folder.

    Args:
        folder: Path of the folder.
        argument: Name of the argument that an error blames.
        endings: Tuple of endings in lower case, such as `(".png",)`.

    Returns:
        A dict from file name without ending to path, in order.

    Raises:
        ValueError: If the folder is missing, holds no such file, or several
            of one name.
    """
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


def pair_files(photo_paths, mask_paths, photos, masks):
    """Pair photos and masks of the same name.

    Args:
        photo_paths: Dict from name to path of each photo.
        mask_paths: Dict from name to path of each mask.
        photos: Path of the folder of the photos, for errors.
        masks: Path of the folder of the masks, for errors.

    Returns:
        Three lists in the order of the names: names, photo paths and mask
        paths.

    Raises:
        ValueError: If there is no photo, a photo has no mask or a mask no
            photo.
    """
    lonely_photos = sorted(set(photo_paths) - set(mask_paths))
    if lonely_photos:
        raise ValueError(
            "Every photo must have a mask of its name. Received: no mask in "
            f"{str(masks)!r} for {len(lonely_photos)} of {len(photo_paths)} "
            f"photos: {', '.join(lonely_photos[:3])}. Take them away, or "
            "unpack the masks again."
        )
    lonely_masks = sorted(set(mask_paths) - set(photo_paths))
    if lonely_masks:
        raise ValueError(
            "Every mask must have a photo of its name. Received: no photo in "
            f"{str(photos)!r} for {len(lonely_masks)} of {len(mask_paths)} "
            f"masks: {', '.join(lonely_masks[:3])}. Take them away, or "
            "unpack the photos again."
        )
    if not photo_paths:
        raise ValueError(
            "A split must have at least one photo. Received: none in "
            f"{str(photos)!r}"
        )
    names = sorted(photo_paths)
    return (
        names,
        [photo_paths[name] for name in names],
        [mask_paths[name] for name in names],
    )


def read_classes(classes):
    """Return class names, read from a file where a path is given.

    Args:
        classes: A sequence of names, or the path of a text file with one name
            a line; blank lines do not count.

    Returns:
        Tuple of the names.

    Raises:
        ValueError: If the file is missing or the names are not 1 to 255
            different ones.
    """
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
