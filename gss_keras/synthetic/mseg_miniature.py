"""Write miniatures of MSeg's data sets in their published layouts."""

import functools

import numpy as np

from gss_keras.constants import IGNORE_LABEL
from gss_keras.data.mseg.layouts import layout_of
from gss_keras.data.mseg.taxonomy import (
    TEST_SETS,
    TRAINING_SETS,
    UNIVERSAL_CLASSES,
    class_names,
    to_universal,
    universal_to,
)
from gss_keras.synthetic import streets

# The universal classes to which each class of a synthetic street may be
# mapped, outdoor ones and, for indoor data sets, indoor ones.
_CLASS_MAP = {
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
    """Write a split of the MSeg miniature, or of one of its test sets.

    All data sets get the same street scenes in different crops, with their
    own classes, unlabeled areas, and boxes of random classes. One photo of
    COCO is grayscale. Data sets that need a list get one more photo, which is
    not in the list.

    Args:
        name: `"mseg"` for the seven training sets and, with the validation
            split, the six test sets; a name such as `"mseg-voc2012"` for a
            single test set.
        folder: Path of an existing folder, the `data_dir` of the readers.
        split: `"train"` or `"val"`.
        count: Number of photos of each data set.
        seed: Random seed, a sequence of ints.
        size: Height and width of the largest photos.
    """
    data_sets = TRAINING_SETS + (TEST_SETS if split == "val" else ())
    if name != "mseg":
        data_sets = (name.removeprefix("mseg-"),)
    scenes = [
        streets.draw_scene(np.random.default_rng([*seed, number]), size)
        for number in range(count + 1)
    ]
    for index, data_set in enumerate(data_sets):
        layout = layout_of(data_set, split)
        stems = [
            _STEMS[data_set].format(
                split=split, number=number, frame=7959 + 2 * number
            )
            for number in range(count + (not layout.is_whole))
        ]
        for number, stem in enumerate(stems):
            generator = np.random.default_rng([*seed, number, index])
            photo, ids = _relabel(*scenes[number], data_set, generator)
            if data_set.startswith("coco") and number == count - 1:
                photo = photo.mean(axis=2).astype("uint8")
            _save(photo, folder / layout.root / layout.photo_path(stem))
            _save(ids, folder / layout.root / layout.mask_path(stem))
        if not layout.is_whole:
            _write_list(folder, data_set, layout, stems[:count])


def _relabel(photo, mask, data_set, generator):
    """Crop a scene and map its mask to the label ids of a data set."""
    height, width = mask.shape
    rows = slice(generator.integers(0, height // 4 + 1), None)
    columns = slice(generator.integers(0, width // 4 + 1), None)
    photo, mask = photo[rows, columns], mask[rows, columns]
    ids = np.zeros_like(mask)
    for strip in np.array_split(np.arange(mask.shape[1]), 4):
        table = [
            generator.choice(_label_ids(data_set, name))
            for name in streets.CLASSES
        ]
        ids[:, strip] = np.array(table, "uint8")[mask[:, strip]]
    classes = generator.integers(len(class_names(data_set)), size=6)
    for value in (*classes, IGNORE_LABEL):
        top, left = generator.integers((mask.shape[0] - 8, mask.shape[1] - 8))
        ids[top : top + 8, left : left + 8] = value
    return photo, ids


@functools.cache
def _label_ids(data_set, street_class):
    """Return the label ids to which a street class may be mapped."""
    universal_ids = [
        UNIVERSAL_CLASSES.index(name) for name in _CLASS_MAP[street_class]
    ]
    if data_set in TEST_SETS:
        ids = universal_to(data_set, unmapped=IGNORE_LABEL)[universal_ids]
        ids = ids[ids != IGNORE_LABEL]
    else:
        ids = np.flatnonzero(np.isin(to_universal(data_set), universal_ids))
    return tuple(ids) or (IGNORE_LABEL,)


def _write_list(folder, data_set, layout, stems):
    """Write a list in MSeg's format, one pair of paths per line."""
    path = folder / "dataset_lists" / data_set / "list" / "val.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        f"{layout.photo_path(stem)} {layout.mask_path(stem)}\n"
        for stem in stems
    ]
    path.write_text("".join(lines), encoding="utf-8")


def _save(pixels, path):
    """Save an image as PNG or JPEG, depending on the extension."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
