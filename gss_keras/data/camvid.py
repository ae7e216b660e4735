"""CamVid: street scenes with 11 classes, in both published layouts."""

from pathlib import Path

import numpy as np

from gss_keras.constants import IGNORE_LABEL
from gss_keras.data.cards import card, check_folders, check_split
from gss_keras.data.files import read_color_mask
from gss_keras.data.sources import (
    Folders,
    PairedFiles,
    list_images,
    pair_files,
)

# The 32 classes as published: RGB color in the files, and one of 11 classes.
CAMVID_32 = {
    "Animal": ((64, 128, 64), "pedestrian"),
    "Archway": ((192, 0, 128), "building"),
    "Bicyclist": ((0, 128, 192), "bicyclist"),
    "Bridge": ((0, 128, 64), "building"),
    "Building": ((128, 0, 0), "building"),
    "Car": ((64, 0, 128), "car"),
    "CartLuggagePram": ((64, 0, 192), "pedestrian"),
    "Child": ((192, 128, 64), "pedestrian"),
    "Column_Pole": ((192, 192, 128), "pole"),
    "Fence": ((64, 64, 128), "fence"),
    "LaneMkgsDriv": ((128, 0, 192), "road"),
    "LaneMkgsNonDriv": ((192, 0, 64), "road"),
    "Misc_Text": ((128, 128, 64), "sign"),
    "MotorcycleScooter": ((192, 0, 192), "bicyclist"),
    "OtherMoving": ((128, 64, 64), "car"),
    "ParkingBlock": ((64, 192, 128), "pavement"),
    "Pedestrian": ((64, 64, 0), "pedestrian"),
    "Road": ((128, 64, 128), "road"),
    "RoadShoulder": ((128, 128, 192), "pavement"),
    "Sidewalk": ((0, 0, 192), "pavement"),
    "SignSymbol": ((192, 128, 128), "sign"),
    "Sky": ((128, 128, 128), "sky"),
    "SUVPickupTruck": ((64, 128, 192), "car"),
    "TrafficCone": ((0, 0, 64), "pole"),
    "TrafficLight": ((0, 64, 64), "sign"),
    "Train": ((192, 64, 128), "car"),
    "Tree": ((128, 128, 0), "tree"),
    "Truck_Bus": ((192, 128, 192), "car"),
    "Tunnel": ((64, 0, 64), "building"),
    "VegetationMisc": ((192, 192, 0), "tree"),
    "Void": ((0, 0, 0), None),
    "Wall": ((64, 192, 0), "building"),
}


class CamVid(Folders):
    """Read CamVid in the layout of the SegNet tutorial.

    Street photos of 360 x 480 pixels with 11 classes. Id 11 in the files is
    void and becomes 255. The data set is not part of this package; it is
    licensed for personal and research use.

    Args:
        data_dir: Path of the folder that contains `train/`, `trainannot/`,
            `val/` and `valannot/`.
        split: `"train"` (367 photos), `"val"` (101) or `"test"` (233).

    Raises:
        ValueError: If `split` is unknown or the folders are missing.

    Reference:
        Brostow, Fauqueur, Cipolla, "Semantic object classes in video:
        a high-definition ground truth database", 2009.
    """

    class_names = card("camvid").classes

    def __init__(self, data_dir, split="train"):
        check_split("camvid", split)
        photos = Path(data_dir) / split
        masks = Path(data_dir) / f"{split}annot"
        check_folders("camvid", data_dir, photos, masks)
        super().__init__(photos, masks, self.class_names, ignore=11)


class CamVid32(PairedFiles):
    """Read CamVid as published, with its 32 color-coded classes as 11.

    Photos of 720 x 960 pixels. Classes and their order are those of `CamVid`;
    void becomes 255. The archive has no splits. The splits used in the
    literature, and in the SegNet tutorial's file lists, follow from sequence
    and frame: `Seq05VD` and the second half of `0001TP` (after frame 8520)
    are the test split, frames 7959 to 8159 of `0016E5`, labeled at 15 Hz, the
    validation split, and `0006R0` and the rest the training split.

    Args:
        data_dir: Path of the folder that contains `701_StillsRaw_full/` and
            `LabeledApproved_full/`.
        split: `"train"` (367 photos), `"val"` (101) or `"test"` (233).

    Raises:
        ValueError: If `split` is unknown, a folder is missing, a photo has no
            mask, or a file name matches no sequence of CamVid. When a record
            is read, if a file is damaged or a color belongs to no class.

    Reference:
        Brostow, Fauqueur, Cipolla, 2009. The grouping into 11 classes is
        that of Sturgess et al., "Combining appearance and structure from
        motion features for road scene understanding", 2009, in use since
        SegNet.
    """

    def __init__(self, data_dir, split="train"):
        check_split("camvid-32", split)
        photos = Path(data_dir) / "701_StillsRaw_full"
        masks = Path(data_dir) / "LabeledApproved_full"
        check_folders("camvid-32", data_dir, photos, masks)
        photo_paths = list_images(photos, "data_dir", (".png",))
        mask_paths = {
            name.removesuffix("_L"): path
            for name, path in list_images(masks, "data_dir", (".png",)).items()
        }
        names, photo_paths, mask_paths = pair_files(
            *(
                {
                    name: path
                    for name, path in paths.items()
                    if camvid_split(name) == split
                }
                for paths in (photo_paths, mask_paths)
            ),
            photos,
            masks,
        )
        classes = card("camvid-32").classes
        super().__init__(names, photo_paths, mask_paths, classes, None)
        self._colors = np.array([color for color, _ in CAMVID_32.values()])
        self._color_ids = [
            IGNORE_LABEL if group is None else classes.index(group)
            for _, group in CAMVID_32.values()
        ]

    def _read_mask(self, path):
        """Read a color-coded mask."""
        return read_color_mask(path, self._colors, self._color_ids)


def camvid_split(name):
    """Return the split of a CamVid frame.

    Args:
        name: File name of the photo without extension.

    Returns:
        `"train"`, `"val"` or `"test"`.

    Raises:
        ValueError: If the name matches no sequence of CamVid.

    Example:
        >>> camvid_split("0016E5_07961"), camvid_split("Seq05VD_f00000")
        ('val', 'test')
    """
    sequence, _, frame = name.partition("_")
    number = frame.removeprefix("f")
    is_known = sequence in ("0001TP", "0006R0", "0016E5", "Seq05VD")
    if not (is_known and number.isdecimal()):
        raise ValueError(
            "A CamVid file must be named after a sequence, 0001TP, 0006R0, "
            "0016E5 or Seq05VD, and a frame, such as 0006R0_f00930. "
            f"Received: {name!r}. Remove the file."
        )
    if sequence == "Seq05VD" or (sequence == "0001TP" and int(number) > 8520):
        return "test"
    is_val = sequence == "0016E5" and 7959 <= int(number) <= 8159
    return "val" if is_val else "train"
