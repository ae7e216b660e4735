"""Write miniature data sets: synthetic streets in the published layouts."""

import functools
import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from gss_keras.data.camvid import CAMVID_32
from gss_keras.data.cards import card, names
from gss_keras.data.cityscapes import LABEL_IDS
from gss_keras.synthetic import streets
from gss_keras.synthetic.mseg_miniature import write_split

# Version of the generated files: increment it whenever they change.
_EDITION = 1
_COUNTS = {"train": 4, "val": 2, "test": 2}
_ORIGIN = "miniature.json"
# The classes to which each class of a synthetic street may be mapped.
_CITYSCAPES = {
    "sky": ("sky",),
    "building": ("building", "wall", "fence"),
    "road": ("road",),
    "pavement": ("sidewalk", "terrain"),
    "tree": ("vegetation",),
    "pole": ("pole",),
    "sign": ("traffic sign", "traffic light"),
    "car": ("car", "truck", "bus", "train", "motorcycle", "bicycle"),
    "pedestrian": ("person", "rider"),
}
_ADE20K = {
    "sky": ("sky",),
    "building": ("building", "house", "skyscraper", "wall", "tower"),
    "road": ("road", "path", "runway"),
    "pavement": ("sidewalk", "earth", "grass"),
    "tree": ("tree", "palm", "plant"),
    "pole": ("pole", "column", "streetlight"),
    "sign": ("signboard", "trade name", "traffic light"),
    "car": ("car", "bus", "truck", "van"),
    "pedestrian": ("person", "animal", "sculpture"),
}
_CAMVID = {
    "sky": ("sky",),
    "building": ("building", "fence"),
    "road": ("road",),
    "pavement": ("pavement",),
    "tree": ("tree",),
    "pole": ("pole",),
    "sign": ("sign",),
    "car": ("car",),
    "pedestrian": ("pedestrian", "bicyclist"),
}
_CAMVID_32 = {
    "sky": ("Sky",),
    "building": ("Building", "Wall", "Bridge", "Archway", "Tunnel", "Fence"),
    "road": ("Road", "LaneMkgsDriv", "LaneMkgsNonDriv"),
    "pavement": ("Sidewalk", "ParkingBlock", "RoadShoulder"),
    "tree": ("Tree", "VegetationMisc"),
    "pole": ("Column_Pole", "TrafficCone"),
    "sign": ("SignSymbol", "Misc_Text", "TrafficLight"),
    "car": ("Car", "SUVPickupTruck", "Truck_Bus", "Train", "OtherMoving"),
    "pedestrian": (
        "Pedestrian", "Child", "CartLuggagePram", "Animal", "Bicyclist",
        "MotorcycleScooter",
    ),
}  # fmt: skip


def write(name, folder, seed=0, size=(96, 192), counts=None):
    """Write a miniature data set in the exact layout of the original.

    Photos are synthetic street scenes; their masks are mapped to classes of
    the data set, with unlabeled and ignored areas, so that code for the data
    set can be tested without downloading it. The folder is written
    atomically. An existing folder with the same arguments is reused.

    Args:
        name: Name of a data set in the catalog.
        folder: Path of the folder to write, the `data_dir` of `load`; its
            parents are created.
        seed: Random seed of all photos, an int of at least 0.
        size: Height and width of the photos, at least 16. ADE20K's photos
            vary in size, up to this one.
        counts: Dict from split to number of photos. Defaults to 4 for
            training, 2 for validation and 2 for testing.

    Returns:
        The folder, a `pathlib.Path`.

    Raises:
        ValueError: If an argument is out of range, or if the folder exists
            with other contents.

    Example:
        >>> import tempfile
        >>> folder = write("cityscapes", tempfile.mkdtemp() + "/cityscapes")
        >>> sorted(path.name for path in folder.glob("*/val/*"))
        ['frankfurt', 'frankfurt', 'lindau', 'lindau']
    """
    splits = card(name).splits
    if counts is None:
        counts = {split: _COUNTS[split] for split in splits}
    if not counts or not set(counts) <= set(splits):
        raise ValueError(
            f"`counts` must be a dict from the splits of {name}, "
            f"{', '.join(splits)}, to numbers. Received: counts={counts}"
        )
    for count in counts.values():
        streets.Streets(count, seed, size)  # checks the arguments
    folder = Path(folder)
    origin = {
        "edition": _EDITION,
        "name": name,
        "seed": seed,
        "size": list(size),
        "counts": dict(counts),
    }
    if folder.exists():
        _check_origin(folder, origin)
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".miniature-"))
    try:
        for number, (split, count) in enumerate(counts.items()):
            _WRITERS[name](partial, split, count, [seed, number], size)
        (partial / _ORIGIN).write_text(json.dumps(origin) + "\n")
        partial.chmod(0o755)
        os.replace(partial, folder)
    except OSError:
        # Another process of the same training run may have written it.
        if not folder.exists():
            raise
        _check_origin(folder, origin)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def draw(seed, size, choices, void):
    """Render a street scene with the label ids of a data set.

    Args:
        seed: Random seed, an int or a sequence of ints.
        size: Height and width.
        choices: Dict from each of `streets.CLASSES` to the tuple of label ids
            to choose from. The photo is divided into four vertical strips;
            one id is sampled for each class in each strip.
        void: Tuple of ids that mean "no label"; each one fills an area.

    Returns:
        A pair: photo, uint8 `(*size, 3)`, and ids, uint8 `size`.
    """
    generator = np.random.default_rng(seed)
    photo, mask = streets.draw_scene(generator, size)
    ids = np.zeros_like(mask)
    height, width = size
    for strip in np.array_split(np.arange(width), 4):
        table = [generator.choice(choices[name]) for name in streets.CLASSES]
        ids[:, strip] = np.array(table, "uint8")[mask[:, strip]]
    for index, void_id in enumerate(void):
        if index == 0:
            # A strip at the bottom, like the hood of the camera car.
            ids[height - max(1, height // 16) :] = void_id
            continue
        top, left = generator.integers((height * 3 // 4, width * 3 // 4))
        ids[top : top + height // 8, left : left + width // 8] = void_id
    return photo, ids


def _choices(class_map, ids):
    """Convert a map from street classes to class names into one to ids."""
    return {
        street_class: tuple(ids[name] for name in names)
        for street_class, names in class_map.items()
    }


def _write_cityscapes(folder, split, count, seed, size):
    """Write a split of Cityscapes: photos, label ids and color images."""
    cities = {
        "train": ("aachen", "bremen"),
        "val": ("frankfurt", "lindau"),
        "test": ("berlin", "mainz"),
    }[split]
    dataset = card("cityscapes")
    ids = dict(zip(dataset.classes, LABEL_IDS, strict=True))
    choices = _choices(_CITYSCAPES, ids)
    colors = np.zeros((256, 3), "uint8")
    colors[list(LABEL_IDS)] = dataset.colors
    for number in range(count):
        # 1, 3, 4 and 5 are ego vehicle, out of roi, static and dynamic.
        photo, ids = draw([*seed, number], size, choices, (1, 3, 4, 5))
        if split == "test":
            # The test labels are not public.
            ids = np.where(ids == 1, ids, 3).astype("uint8")
        city = cities[number % len(cities)]
        name = f"{city}_{number:06d}_000019"
        photos = folder / "leftImg8bit" / split / city
        masks = folder / "gtFine" / split / city
        _save(photo, photos / f"{name}_leftImg8bit.png")
        _save(ids, masks / f"{name}_gtFine_labelIds.png")
        _save(colors[ids], masks / f"{name}_gtFine_color.png")
        instances = ids.astype("uint16")
        _save(instances, masks / f"{name}_gtFine_instanceIds.png")


def _write_ade20k(folder, split, count, seed, size):
    """Write a split of ADE20K, with several photo sizes and a gray photo."""
    part = {"train": "training", "val": "validation"}[split]
    classes = card("ade20k").classes
    ids = {name: number + 1 for number, name in enumerate(classes)}
    choices = _choices(_ADE20K, ids)
    height, width = size
    sizes = (size, (height, max(16, width * 3 // 4)), (width, height))
    root = folder / "ADEChallengeData2016"
    for number in range(count):
        photo, ids = draw(
            [*seed, number], sizes[number % 3], choices, (0, 0, 0)
        )
        if number == count - 1:
            photo = photo.mean(axis=2).astype("uint8")
        name = f"ADE_{split}_{number + 1:08d}"
        _save(photo, root / "images" / part / f"{name}.jpg")
        _save(ids, root / "annotations" / part / f"{name}.png")


def _write_camvid(folder, split, count, seed, size):
    """Write a split of CamVid in the layout of the SegNet tutorial."""
    ids = {name: number for number, name in enumerate(card("camvid").classes)}
    choices = _choices(_CAMVID, ids)
    for number in range(count):
        photo, ids = draw([*seed, number], size, choices, (11, 11))
        name = f"{_camvid_name(split, number)}.png"
        _save(photo, folder / split / name)
        _save(ids, folder / f"{split}annot" / name)


def _write_camvid_32(folder, split, count, seed, size):
    """Write a split of CamVid with its 32 color-coded classes."""
    ids = {name: number for number, name in enumerate(CAMVID_32)}
    choices = _choices(_CAMVID_32, ids)
    colors = np.array([color for color, _ in CAMVID_32.values()], "uint8")
    void = (ids["Void"], ids["Void"])
    for number in range(count):
        photo, ids = draw([*seed, number], size, choices, void)
        name = _camvid_name(split, number)
        _save(photo, folder / "701_StillsRaw_full" / f"{name}.png")
        mask_path = folder / "LabeledApproved_full" / f"{name}_L.png"
        _save(colors[ids], mask_path)


def _camvid_name(split, number):
    """Return a CamVid frame name that belongs to a split."""
    if split == "val":
        # Labeled at 15 Hz, unlike the other sequences, at 1 Hz.
        return f"0016E5_{7959 + 2 * number:05d}"
    sequence = {"train": "0006R0", "test": "Seq05VD"}[split]
    return f"{sequence}_f{30 * number:05d}"


def _write_folders(folder, split, count, seed, size):
    """Write a split in the layout for the user's own photos and masks."""
    seed = int(np.random.default_rng(seed).integers(2**31))
    streets.draw(folder / split, count, seed, size)


_WRITERS = {
    "cityscapes": _write_cityscapes,
    "ade20k": _write_ade20k,
    "camvid": _write_camvid,
    "camvid-32": _write_camvid_32,
    "folders": _write_folders,
    **{
        name: functools.partial(write_split, name)
        for name in names()
        if name.startswith("mseg")
    },
}


def _check_origin(folder, origin):
    """Raise ValueError unless a folder was written with equal arguments."""
    try:
        existing = json.loads((folder / _ORIGIN).read_text())
    except (OSError, ValueError):
        existing = None
    if existing != origin:
        raise ValueError(
            "`folder` must not exist yet, or contain the requested miniature, "
            f"{origin}. Received: folder={str(folder)!r} with "
            f"{existing if existing is not None else 'other files'}. "
            "Choose another folder or delete this one."
        )


def _save(pixels, path):
    """Save an image as PNG or JPEG, depending on the extension."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
