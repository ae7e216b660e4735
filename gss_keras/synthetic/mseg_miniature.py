"""Write small copies of MSeg's data sets in their layouts."""

import functools

import numpy as np

from gss_keras.data.mseg.layouts import layout_of
from gss_keras.data.mseg.taxonomy import (
    TEST_SETS,
    TRAINING_SETS,
    UNIVERSAL_CLASSES,
    class_names,
    to_universal,
    universal_to,
)
from gss_keras.maskige.mapping import IGNORE_LABEL
from gss_keras.synthetic import streets

# The universal classes that each kind of thing in a drawn street may become,
# outdoors or, in sets of rooms, indoors.
_KINDS = {
    "sky": ("sky", "ceiling"),
    "building": ("building", "wall"),
    "road": ("road", "floor"),
    "pavement": ("sidewalk_pavement", "terrain", "rug_floormat"),
    "tree": ("vegetation", "potted_plant", "curtain_other"),
    "pole": ("pole", "streetlight", "lamp"),
    "sign": ("traffic_sign", "traffic_light", "painting"),
    "car": ("car", "bus", "truck", "couch", "bed"),
    "pedestrian": ("person", "bicyclist", "rider_other", "chair_other"),
}
_STEMS = {
    "ade20k-150-relabeled": "ADE_{split}_{number:08d}",
    "bdd-relabeled": "{number:08x}-00000000",
    "cityscapes-19-relabeled": "city{number}/city{number}_000000_000019",
    "coco-panoptic-133-relabeled": "{number:012d}",
    "idd-39-relabeled": "{number}/{number:06d}",
    "mapillary-public65-relabeled": "miniature-{number:012d}",
    "sunrgbd-37-relabeled": "{number:06d}",
    "voc2012": "2007_{number:06d}",
    "pascal-context-60": "2008_{number:06d}",
    "camvid-11": "0016E5_{frame:05d}",
    "wilddash-19": "fi{number:04d}",
    "kitti-19": "{number:06d}_10",
    "scannet-20": "scene0568_00/color/{number:04d}00",
}


def write_split(name, folder, split, count, seed, size):
    """Write a split of MSeg, or of one of its test sets.

    Every data set gets the same drawn streets, cut to different sizes, with
    classes of its own, unlabeled areas, and boxes of any of its classes. One
    photo of COCO is gray. Where a list is needed, it leaves out one photo.

    Args:
        name: `"mseg"` for the seven training sets and, with the validation
            split, the six test sets; `"mseg-voc2012"` and so on for one.
        folder: Path of an existing folder, the `data_dir` of the readers.
        split: `"train"` or `"val"`.
        count: Number of photos of each data set.
        seed: Seed, a sequence of ints.
        size: Height and width of the largest photos.
    """
    data_sets = TRAINING_SETS + (TEST_SETS if split == "val" else ())
    if name != "mseg":
        data_sets = (name.removeprefix("mseg-"),)
    scenes = [
        streets.draw_scene(np.random.default_rng([*seed, number]), size)
        for number in range(count + 1)
    ]
    for place, data_set in enumerate(data_sets):
        layout = layout_of(data_set, split)
        stems = [
            _STEMS[data_set].format(
                split=split, number=number, frame=7959 + 2 * number
            )
            for number in range(count + (not layout.is_whole))
        ]
        for number, stem in enumerate(stems):
            generator = np.random.default_rng([*seed, number, place])
            photo, ids = _relabel(*scenes[number], data_set, generator)
            if data_set.startswith("coco") and number == count - 1:
                photo = photo.mean(axis=2).astype("uint8")
            _save(photo, folder / layout.root / layout.photo_path(stem))
            _save(ids, folder / layout.root / layout.mask_path(stem))
        if not layout.is_whole:
            _write_list(folder, data_set, layout, stems[:count])


def _relabel(photo, kinds, data_set, generator):
    """Return a part of a scene and its ids in the files of a data set."""
    height, width = kinds.shape
    rows = slice(generator.integers(0, height // 4 + 1), None)
    columns = slice(generator.integers(0, width // 4 + 1), None)
    photo, kinds = photo[rows, columns], kinds[rows, columns]
    ids = np.zeros_like(kinds)
    for quarter in np.array_split(np.arange(kinds.shape[1]), 4):
        table = [
            generator.choice(_ids_of(data_set, kind))
            for kind in streets.CLASSES
        ]
        ids[:, quarter] = np.array(table, "uint8")[kinds[:, quarter]]
    classes = generator.integers(len(class_names(data_set)), size=6)
    for value in (*classes, IGNORE_LABEL):
        top, left = generator.integers((kinds.shape[0] - 8, kinds.shape[1] - 8))
        ids[top : top + 8, left : left + 8] = value
    return photo, ids


@functools.cache
def _ids_of(data_set, kind):
    """Return the ids in a data set's files that a kind of thing may get."""
    wanted = [UNIVERSAL_CLASSES.index(name) for name in _KINDS[kind]]
    if data_set in TEST_SETS:
        ids = universal_to(data_set, unmapped=IGNORE_LABEL)[wanted]
        ids = ids[ids != IGNORE_LABEL]
    else:
        ids = np.flatnonzero(np.isin(to_universal(data_set), wanted))
    return tuple(ids) or (IGNORE_LABEL,)


def _write_list(folder, data_set, layout, stems):
    """Write a list as MSeg has them, photo and mask in a line."""
    path = folder / "dataset_lists" / data_set / "list" / "val.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        f"{layout.photo_path(stem)} {layout.mask_path(stem)}\n"
        for stem in stems
    ]
    path.write_text("".join(lines), encoding="utf-8")


def _save(pixels, path):
    """Save a picture, PNG or JPEG by its ending."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
