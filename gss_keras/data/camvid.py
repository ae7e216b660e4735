"""CamVid, real street photos with 11 classes."""

from pathlib import Path

from gss_keras.data.sources import Folders


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
