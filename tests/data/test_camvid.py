import numpy as np
import pytest
from PIL import Image

from gss_keras.data import CamVid, CamVid32
from gss_keras.data.camvid import CAMVID_32, camvid_split
from gss_keras.synthetic import miniature

pytestmark = pytest.mark.any_backend


def published_frames():
    """Return the names of all 701 frames, following CamVid's description.

    `0001TP`, `0006R0`, `0016E5` and `Seq05VD` are 30 Hz videos labeled at
    1 Hz; 101 further frames of `0016E5` are labeled at 15 Hz.
    """
    names = [f"0001TP_{frame:06d}" for frame in range(6690, 10381, 30)]
    names += [f"0006R0_f{frame:05d}" for frame in range(930, 3931, 30)]
    frames = [*range(390, 2401, 30), *range(4350, 7921, 30)]
    frames += range(8190, 8641, 30)
    names += [f"0016E5_{frame:05d}" for frame in frames]
    names += [f"0016E5_{frame:05d}" for frame in range(7959, 8160, 2)]
    names += [f"Seq05VD_f{frame:05d}" for frame in range(0, 5101, 30)]
    return names


def test_splits_have_the_published_sizes():
    names = published_frames()
    assert len(names) == len(set(names)) == 701
    splits = [camvid_split(name) for name in names]
    counts = {split: splits.count(split) for split in set(splits)}
    assert counts == {"train": 367, "val": 101, "test": 233}


# The first and last frames of each sequence in the SegNet tutorial's lists.
@pytest.mark.parametrize(
    "name, split",
    [
        ("0001TP_006690", "train"),
        ("0001TP_008520", "train"),
        ("0001TP_008550", "test"),
        ("0006R0_f00930", "train"),
        ("0006R0_f03930", "train"),
        ("0016E5_00390", "train"),
        ("0016E5_07920", "train"),
        ("0016E5_07959", "val"),
        ("0016E5_08159", "val"),
        ("0016E5_08190", "train"),
        ("Seq05VD_f05100", "test"),
    ],
)
def test_splits_match_the_published_lists(name, split):
    assert camvid_split(name) == split


@pytest.mark.parametrize("name", ["0001TP", "0007TP_000030", "0006R0_fx"])
def test_unknown_frame_names_raise(name):
    with pytest.raises(ValueError, match=f"sequence.*Received: '{name}'"):
        camvid_split(name)


def test_color_coded_masks_become_class_ids(tmp_path):
    folder = miniature.write("camvid-32", tmp_path / "data", size=(32, 64))
    source = CamVid32(folder, "train")
    assert source.classes == CamVid.class_names
    for index, name in enumerate(source.names):
        path = folder / "LabeledApproved_full" / f"{name}_L.png"
        with Image.open(path) as image:
            colors = np.array(image)
        expected = np.full(colors.shape[:2], -1)
        for color, group in CAMVID_32.values():
            class_id = 255 if group is None else source.classes.index(group)
            expected[(colors == color).all(-1)] = class_id
        np.testing.assert_array_equal(source[index]["mask"], expected)


def test_the_32_colors_are_distinct_and_cover_all_classes():
    assert len({color for color, _ in CAMVID_32.values()}) == 32
    groups = {group for _, group in CAMVID_32.values()}
    assert groups == {*CamVid.class_names, None}


def test_invalid_color_coded_masks_raise(tmp_path):
    folder = miniature.write("camvid-32", tmp_path / "data", size=(32, 64))
    source = CamVid32(folder, "val")
    pixels = np.zeros((32, 64, 3), "uint8")
    pixels[0, 0] = 1, 2, 3
    Image.fromarray(pixels).save(source.mask_paths[0])
    with pytest.raises(
        ValueError, match=r"_L\.png with \[\[1, 2, 3\]\] in 1 pixels"
    ):
        source[0]
    Image.fromarray(pixels[..., 0]).save(source.mask_paths[1])
    with pytest.raises(ValueError, match="RGB file.*_L.png of mode 'L'"):
        source[1]
    source.mask_paths[1].unlink()
    with pytest.raises(ValueError, match=r"must have a mask.*1 of 2.*0016E5"):
        CamVid32(folder, "val")


def test_segnet_layout(tmp_path):
    folder = miniature.write("camvid", tmp_path / "data", size=(32, 64))
    source = CamVid(folder, "test")
    for index, name in enumerate(source.names):
        with Image.open(folder / "testannot" / f"{name}.png") as image:
            ids = np.array(image)
        expected = np.where(ids == 11, 255, ids)
        np.testing.assert_array_equal(source[index]["mask"], expected)
        assert (expected == 255).any()
