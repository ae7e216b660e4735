"""Where MSeg's download scripts put the files of each data set."""

import dataclasses
import os

SCRIPTS = "https://github.com/mseg-dataset/mseg-api"


@dataclasses.dataclass(frozen=True)
class Layout:
    """Says where a data set's photos and masks are.

    Photo and mask of a record share a stem, such as `aachen/aachen_000000`:
    `<root>/<photos>/aachen/<photo prefix>aachen_000000<photo suffix>` belongs
    to `<root>/<masks>/aachen/<mask prefix>aachen_000000<mask suffix>`. All
    paths here are relative to the root.

    Args:
        root: Folder of the data set below the folder of all.
        photos: Folder of the photos.
        masks: Folder of the masks.
        photo_suffix: End of every photo's file name.
        mask_suffix: End of every mask's file name.
        photo_prefix: Begin of every photo's file name.
        mask_prefix: Begin of every mask's file name.
        mask_part: Pair of strings: what to replace in a stem, and by what, on
            the way to the mask.
        is_whole: Whether the folders hold nothing but the data set's photos,
            so that a list is not needed.
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
        """Return the stem of a photo's path, `None` if it is none."""
        return _stem(path, self.photos, self.photo_prefix, self.photo_suffix)

    def mask_stem(self, path):
        """Return the stem of a mask's path, `None` if it is none."""
        return _stem(path, self.masks, self.mask_prefix, self.mask_suffix)


def layout_of(data_set, split):
    """Return where a split of a data set is.

    Args:
        data_set: Name of a training or test set.
        split: `"train"` or `"val"`; test sets have only the latter.

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
    """Return a path below a folder without prefix and suffix, or None."""
    place = os.path.join(os.path.normpath(folder), "") if folder else ""
    head, tail = os.path.split(path[len(place) :])
    is_inside = path.startswith(place) and not tail.startswith(".")
    if not (is_inside and tail.startswith(prefix) and tail.endswith(suffix)):
        return None
    return os.path.join(head, tail[len(prefix) : len(tail) - len(suffix)])


# With the names of the folders for training and validation.
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
