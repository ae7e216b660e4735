"""Random-access sources of photos and masks on disk."""

from pathlib import Path

import numpy as np

from gss_keras.constants import IGNORE_LABEL
from gss_keras.data.files import REMEDY, id_table, read_mask, read_photo

_PHOTO_EXTENSIONS = (".png", ".jpg", ".jpeg")
_MASK_EXTENSIONS = (".png",)


class PairedFiles:
    """Read pairs of a photo file and a mask file.

    The base class of the package's file-based sources: a list of file pairs
    and a lookup table from label ids to class ids. Records are read on access,
    so a source is small, picklable for worker processes and usable as a
    random-access source by `batches`.

    Args:
        names: Unique name of each record.
        photo_paths: Path of each record's photo, an RGB or grayscale PNG or
            JPEG file.
        mask_paths: Path of each record's mask, a PNG file with one channel,
            or `None` for a photo without labels: its mask is all 255.
        classes: The class names in the order of their ids, at most 255.
        ids: int32 lookup table `(65536,)` from ids in files to class ids or
            255, with -1 for invalid ids; see `gss_keras.data.files.id_table`.

    Attributes:
        classes: Tuple of the class names.
        num_classes: Number of classes.
        ignore_label: 255, the id of unlabeled pixels in the masks.
        names: Tuple of the records' names, in order.

    Raises:
        ValueError: When a record is read, if a file cannot be read, has the
            wrong number of channels, contains an id that is neither a class
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
    """Read a folder of photos and a folder of masks with matching names.

    `photos/street.jpg` pairs with `masks/street.png`. A mask is a grayscale
    or palette PNG whose pixel values are class ids. Records are sorted by
    name.

    Args:
        photos: Path of the folder of photos, RGB or grayscale PNG or JPEG
            files.
        masks: Path of the folder of masks, PNG files with one channel.
        classes: The class names in the order of their ids: a sequence of
            strings, or the path of a text file with one name per line. At
            most 255.
        ignore: Id or ids in the files that mean "no label", besides 255. They
            become 255 in the masks.

    Attributes:
        classes: Tuple of the class names.
        num_classes: Number of classes.
        ignore_label: 255, the id of unlabeled pixels in the masks.
        names: Tuple of the sorted file names without extension.

    Raises:
        ValueError: If a folder is missing or empty, or if a photo has no mask
            or a mask no photo. When a record is read, see `PairedFiles`.

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
            list_images(photos, "photos", _PHOTO_EXTENSIONS),
            list_images(masks, "masks", _MASK_EXTENSIONS),
            photos,
            masks,
        )
        classes = read_classes(classes)
        table = id_table(len(classes), ignore)
        super().__init__(names, photo_paths, mask_paths, classes, table)


def load_all(source):
    """Load all records of a source into memory, as two arrays.

    For small data sets whose photos all have the same size.

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
        records: Non-empty sequence of records of the same size.

    Returns:
        A pair: photos, uint8 `(batch, height, width, 3)`, and masks, int32
        `(batch, height, width)`.

    Raises:
        ValueError: If the photos differ in size.
    """
    for record in records:
        if record["photo"].shape != records[0]["photo"].shape:
            raise ValueError(
                "Photos of a batch must have the same size: crop or pad them "
                "(`augmentation=Augmentation(crop=...)` or `Padding(...)`), "
                "or use `batch_size=1`. Received: "
                f"{records[0]['photo'].shape[:2]} for {records[0]['name']} "
                f"and {record['photo'].shape[:2]} for {record['name']}"
            )
    photos = np.stack([record["photo"] for record in records])
    masks = np.stack([record["mask"] for record in records])
    return photos, masks.astype("int32")


def list_images(folder, argument, extensions):
    """List the image files in a folder.

    Args:
        folder: Path of the folder.
        argument: Name of the argument to mention in errors.
        extensions: Tuple of extensions in lower case, such as `(".png",)`.

    Returns:
        A dict from file name without extension to path, sorted by path.

    Raises:
        ValueError: If the folder is missing, contains no such file, or
            contains several files of the same name.
    """
    folder = Path(folder)
    kinds = " or ".join(extensions)
    if not folder.is_dir():
        raise ValueError(
            f"`{argument}` must be an existing folder of {kinds} files. "
            f"Received: {argument}={str(folder)!r}"
        )
    paths = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in extensions or path.name.startswith("."):
            continue
        if path.stem in paths:
            raise ValueError(
                f"`{argument}` must contain one file per name. Received: "
                f"{paths[path.stem]} and {path}"
            )
        paths[path.stem] = path
    if not paths:
        raise ValueError(
            f"`{argument}` must contain {kinds} files, but has none. "
            f"Received: {argument}={str(folder)!r}"
        )
    return paths


def pair_files(photo_paths, mask_paths, photos, masks):
    """Pair photos and masks of the same name.

    Args:
        photo_paths: Dict from name to path of each photo.
        mask_paths: Dict from name to path of each mask.
        photos: Path of the folder of the photos, for error messages.
        masks: Path of the folder of the masks, for error messages.

    Returns:
        Three lists sorted by name: names, photo paths and mask paths.

    Raises:
        ValueError: If there is no photo, a photo has no mask or a mask no
            photo.
    """
    unpaired_photos = sorted(set(photo_paths) - set(mask_paths))
    if unpaired_photos:
        raise ValueError(
            "Every photo must have a mask of the same name. Received: no mask "
            f"in {str(masks)!r} for {len(unpaired_photos)} of "
            f"{len(photo_paths)} photos: {', '.join(unpaired_photos[:3])}. "
            "Remove the photos, or unpack the masks again."
        )
    unpaired_masks = sorted(set(mask_paths) - set(photo_paths))
    if unpaired_masks:
        raise ValueError(
            "Every mask must have a photo of the same name. Received: no photo "
            f"in {str(photos)!r} for {len(unpaired_masks)} of "
            f"{len(mask_paths)} masks: {', '.join(unpaired_masks[:3])}. "
            "Remove the masks, or unpack the photos again."
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
    """Return class names, read from a text file if given a path.

    Args:
        classes: A sequence of names, or the path of a text file with one name
            per line; blank lines are skipped.

    Returns:
        Tuple of the names.

    Raises:
        ValueError: If the file is missing, or if there are not 1 to 255
            distinct names.
    """
    names = classes
    if isinstance(classes, str | Path):
        path = Path(classes)
        if not path.is_file():
            raise ValueError(
                "`classes` must be a sequence of names or the path of a text "
                "file with one name per line. Received: "
                f"classes={str(classes)!r}"
            )
        lines = path.read_text(encoding="utf-8").splitlines()
        names = [line.strip() for line in lines if line.strip()]
    names = tuple(str(name) for name in names)
    if not 1 <= len(names) <= IGNORE_LABEL or len(set(names)) != len(names):
        raise ValueError(
            f"`classes` must be 1 to {IGNORE_LABEL} distinct names. "
            f"Received: {len(names)} names, {len(set(names))} of them distinct"
        )
    return names
