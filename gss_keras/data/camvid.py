"""CamVid, real street photos with 11 classes, in its two layouts."""

from pathlib import Path

import numpy as np

from gss_keras.data.cards import card, check_folders, check_split
from gss_keras.data.files import read_color_mask
from gss_keras.data.sources import (
    Folders,
    PairedFiles,
    pair_files,
    pictures_in,
)
from gss_keras.maskige.mapping import IGNORE_LABEL

# The 32 classes as published: color in the files, class among the 11.
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
    """Reads CamVid in the layout of the SegNet tutorial.

    Real street photos of 360 x 480 with 11 classes. The files hold 11 for
    void, which becomes 255. The data set is not part of this package and its
    license is for personal and research use.

    Args:
        data_dir: Path of the folder that holds `train/`, `trainannot/`,
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
    """Reads CamVid as published, its 32 painted classes grouped into 11.

    Photos of 720 x 960; classes and their order are those of `CamVid`, void
    becomes 255. The archive has no splits. Those of the literature, which
    the SegNet tutorial's file lists follow too, are told by sequence and
    frame: `Seq05VD` and the second half of `0001TP` (after frame 8520) are
    for testing, frames 7959 to 8159 of `0016E5`, which are filmed at 15 Hz,
    for validation, and `0006R0` and the rest for training.

    Args:
        data_dir: Path of the folder that holds `701_StillsRaw_full/` and
            `LabeledApproved_full/`.
        split: `"train"` (367 photos), `"val"` (101) or `"test"` (233).

    Raises:
        ValueError: If `split` is unknown, a folder is missing, a photo has no
            mask or a file's name is of no sequence of CamVid, or, when such
            a record is read, if a file is bad or a color of no class.

    Reference:
        Brostow, Fauqueur, Cipolla, 2009. The grouping into 11 classes is
        that of Sturgess et al., "Combining appearance and structure from
        motion features for road scene understanding", 2009, as it is used
        since SegNet.
    """

    def __init__(self, data_dir, split="train"):
        check_split("camvid-32", split)
        photos = Path(data_dir) / "701_StillsRaw_full"
        masks = Path(data_dir) / "LabeledApproved_full"
        check_folders("camvid-32", data_dir, photos, masks)
        photo_paths = pictures_in(photos, "data_dir", (".png",))
        mask_paths = {
            name.removesuffix("_L"): path
            for name, path in pictures_in(masks, "data_dir", (".png",)).items()
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
        """Read a mask painted in the 32 colors."""
        return read_color_mask(path, self._colors, self._color_ids)


def camvid_split(name):
    """Tell the split of a frame of CamVid.

    Args:
        name: Name of the photo's file without ending.

    Returns:
        `"train"`, `"val"` or `"test"`.

    Raises:
        ValueError: If the name is of no sequence of CamVid.

    Example:
        >>> camvid_split("0016E5_07961"), camvid_split("Seq05VD_f00000")
        ('val', 'test')
    """
    sequence, _, frame = name.partition("_")
    number = frame.removeprefix("f")
    is_known = sequence in ("0001TP", "0006R0", "0016E5", "Seq05VD")
    if not (is_known and number.isdecimal()):
        raise ValueError(
            "A file of CamVid must be named after a sequence, 0001TP, "
            "0006R0, 0016E5 or Seq05VD, and a frame, such as "
            f"0006R0_f00930. Received: {name!r}. Take the file away."
        )
    if sequence == "Seq05VD" or (sequence == "0001TP" and int(number) > 8520):
        return "test"
    is_val = sequence == "0016E5" and 7959 <= int(number) <= 8159
    return "val" if is_val else "train"
