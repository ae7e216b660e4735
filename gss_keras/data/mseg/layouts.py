"""Folder layouts of the data sets as MSeg's download scripts create them."""

import dataclasses
import os

SCRIPTS = "https://github.com/mseg-dataset/mseg-api"


@dataclasses.dataclass(frozen=True)
class Layout:
    """Describe where the photos and masks of a data set are stored.

    The photo and mask of a record share a stem, such as
    `aachen/aachen_000000`. The photo's path is
    `<root>/<photos>/aachen/<photo_prefix>aachen_000000<photo_suffix>`, the
    mask's `<root>/<masks>/aachen/<mask_prefix>aachen_000000<mask_suffix>`.
    All paths here are relative to the root.

    Args:
        root: Folder of the data set, relative to `data_dir`.
        photos: Folder of the photos.
        masks: Folder of the masks.
        photo_suffix: Suffix of the photos' file names.
        mask_suffix: Suffix of the masks' file names.
        photo_prefix: Prefix of the photos' file names.
        mask_prefix: Prefix of the masks' file names.
        mask_part: Pair of strings: the first is replaced with the second in
            the stem to get the mask's path.
        is_whole: Whether the folders contain only the photos of the split,
            so that no list is needed.
    """

    root: str
    photos: str
    masks: str
    photo_suffix: str = ".png"
    mask_suffix: str = ".png"
    photo_prefix: str = ""
    mask_prefix: str = ""
    mask_part: tuple[str, str] = ("", "")
    is_whole: bool = True

    def photo_path(self, stem):
        """Return the path of a photo."""
        head, tail = os.path.split(stem)
        name = self.photo_prefix + tail + self.photo_suffix
        return os.path.join(self.photos, head, name)

    def mask_path(self, stem):
        """Return the path of a mask."""
        head, tail = os.path.split(stem.replace(*self.mask_part))
        name = self.mask_prefix + tail + self.mask_suffix
        return os.path.join(self.masks, head, name)

    def photo_stem(self, path):
        """Return the stem of a photo's path, or `None` for other files."""
        return _stem(path, self.photos, self.photo_prefix, self.photo_suffix)

    def mask_stem(self, path):
        """Return the stem of a mask's path, or `None` for other files."""
        return _stem(path, self.masks, self.mask_prefix, self.mask_suffix)


def layout_of(data_set, split):
    """Return the folder layout of a split of a data set.

    Args:
        data_set: Name of a training or test set.
        split: `"train"` or `"val"`. Test sets have one layout, whatever the
            split.

    Returns:
        A `Layout`.

    Example:
        >>> layout_of("sunrgbd-37-relabeled", "train").mask_path("000001")
        'semseg-relabeled37/train/00000001.png'
    """
    if data_set in _TEST_LAYOUTS:
        return _TEST_LAYOUTS[data_set]
    layout, folders = _TRAINING_LAYOUTS[data_set]
    folder = folders[("train", "val").index(split)]
    return dataclasses.replace(
        layout,
        photos=layout.photos.format(folder),
        masks=layout.masks.format(folder),
    )


def _stem(path, folder, prefix, suffix):
    """Strip folder, prefix and suffix from a path; return None if absent."""
    parent = os.path.join(os.path.normpath(folder), "") if folder else ""
    head, tail = os.path.split(path[len(parent) :])
    is_inside = path.startswith(parent) and not tail.startswith(".")
    if not (is_inside and tail.startswith(prefix) and tail.endswith(suffix)):
        return None
    return os.path.join(head, tail[len(prefix) : len(tail) - len(suffix)])


# Each layout with the folder names of its training and validation splits.
_TRAINING_LAYOUTS = {
    "ade20k-150-relabeled": (
        Layout(
            root="ADE20K/ADEChallengeData2016",
            photos="images/{}",
            masks="annotations_semseg150_relabeled/{}",
            photo_suffix=".jpg",
        ),
        ("training", "validation"),
    ),
    "bdd-relabeled": (
        Layout(
            root="BDD/bdd100k",
            photos="seg/images/{}",
            masks="seg_relabeled/labels/{}",
            photo_suffix=".jpg",
            mask_suffix="_train_id.png",
        ),
        ("train", "val"),
    ),
    "cityscapes-19-relabeled": (
        Layout(
            root="Cityscapes",
            photos="leftImg8bit/{}",
            masks="gtFine_19cls_relabeled/{}",
            photo_suffix="_leftImg8bit.png",
            mask_suffix="_gtFine_labelIds.png",
        ),
        ("train", "val"),
    ),
    "coco-panoptic-133-relabeled": (
        Layout(
            root="COCOPanoptic",
            photos="images/{}",
            masks="semantic_relabeled133/{}",
            photo_suffix=".jpg",
        ),
        ("train2017", "val2017"),
    ),
    "idd-39-relabeled": (
        Layout(
            root="IDD/IDD_Segmentation",
            photos="leftImg8bit/{}",
            masks="gtFine39_relabeled/{}",
            photo_suffix="_leftImg8bit.png",
            mask_suffix="_gtFine_labelids.png",
        ),
        ("train", "val"),
    ),
    "mapillary-public65-relabeled": (
        Layout(
            root="MapillaryVistasPublic",
            photos="{}/images",
            masks="{}_semseg65_relabeled/labels",
            photo_suffix=".jpg",
        ),
        ("training", "validation"),
    ),
    "sunrgbd-37-relabeled": (
        Layout(
            root="SUNRGBD",
            photos="image/{}",
            masks="semseg-relabeled37/{}",
            photo_suffix=".jpg",
            photo_prefix="img-",
            mask_prefix="00",
        ),
        ("train", "test"),
    ),
}
_TEST_LAYOUTS = {
    "voc2012": Layout(
        root="PASCAL_VOC_2012",
        photos="JPEGImages",
        masks="SegmentationClassAug",
        photo_suffix=".jpg",
        is_whole=False,
    ),
    "pascal-context-60": Layout(
        root="PASCAL_Context",
        photos="JPEGImages",
        masks="Segmentation_GT_60cls",
        photo_suffix=".jpg",
        is_whole=False,
    ),
    "camvid-11": Layout(
        root="Camvid",
        photos="701_StillsRaw_full",
        masks="semseg11",
        mask_suffix="_L.png",
        is_whole=False,
    ),
    "wilddash-19": Layout(
        root="WildDash",
        photos="wd_val_01",
        masks="wd_val_19class",
        photo_suffix="_100000.png",
        mask_suffix="_100000_labelIds.png",
    ),
    "kitti-19": Layout(
        root="KITTI",
        photos="training/image_2",
        masks="training/label19",
        is_whole=False,
    ),
    "scannet-20": Layout(
        root="ScanNet/scannet_frames_25k",
        photos="",
        masks="",
        photo_suffix=".jpg",
        mask_part=("color", "label20"),
        is_whole=False,
    ),
}
