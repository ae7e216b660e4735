"""MSeg's readers and folder layouts, tested on a miniature."""

import collections
import json
import os
import pathlib
import pickle
import shutil

import grain
import numpy as np
import pytest
from PIL import Image

from gss_keras.data import mseg
from gss_keras.data.mseg.files import LayoutFiles
from gss_keras.data.mseg.layouts import Layout, layout_of
from gss_keras.synthetic import mseg_miniature as miniature

pytestmark = pytest.mark.any_backend

TABLES = pathlib.Path(
    os.environ.get(
        "MSEG_TABLES",
        pathlib.Path(__file__).parents[4] / "shared" / "reference" / "mseg",
    )
)
# Root folder, photo path and mask path of one record of each data set.
FILES = {
    "ade20k-150-relabeled": (
        "ADE20K/ADEChallengeData2016",
        "images/training/ADE_train_00000001.jpg",
        "annotations_semseg150_relabeled/training/ADE_train_00000001.png",
    ),
    "bdd-relabeled": (
        "BDD/bdd100k",
        "seg/images/train/00000001-00000000.jpg",
        "seg_relabeled/labels/train/00000001-00000000_train_id.png",
    ),
    "cityscapes-19-relabeled": (
        "Cityscapes",
        "leftImg8bit/train/city1/city1_000000_000019_leftImg8bit.png",
        "gtFine_19cls_relabeled/train/city1/"
        "city1_000000_000019_gtFine_labelIds.png",
    ),
    "coco-panoptic-133-relabeled": (
        "COCOPanoptic",
        "images/train2017/000000000001.jpg",
        "semantic_relabeled133/train2017/000000000001.png",
    ),
    "idd-39-relabeled": (
        "IDD/IDD_Segmentation",
        "leftImg8bit/train/1/000001_leftImg8bit.png",
        "gtFine39_relabeled/train/1/000001_gtFine_labelids.png",
    ),
    "mapillary-public65-relabeled": (
        "MapillaryVistasPublic",
        "training/images/miniature-000000000001.jpg",
        "training_semseg65_relabeled/labels/miniature-000000000001.png",
    ),
    "sunrgbd-37-relabeled": (
        "SUNRGBD",
        "image/train/img-000001.jpg",
        "semseg-relabeled37/train/00000001.png",
    ),
    "voc2012": (
        "PASCAL_VOC_2012",
        "JPEGImages/2007_000001.jpg",
        "SegmentationClassAug/2007_000001.png",
    ),
    "pascal-context-60": (
        "PASCAL_Context",
        "JPEGImages/2008_000001.jpg",
        "Segmentation_GT_60cls/2008_000001.png",
    ),
    "camvid-11": (
        "Camvid",
        "701_StillsRaw_full/0016E5_07961.png",
        "semseg11/0016E5_07961_L.png",
    ),
    "wilddash-19": (
        "WildDash",
        "wd_val_01/fi0001_100000.png",
        "wd_val_19class/fi0001_100000_labelIds.png",
    ),
    "kitti-19": (
        "KITTI",
        "training/image_2/000001_10.png",
        "training/label19/000001_10.png",
    ),
    "scannet-20": (
        "ScanNet/scannet_frames_25k",
        "scene0568_00/color/000100.jpg",
        "scene0568_00/label20/000100.png",
    ),
}


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mseg")
    miniature.write_split("mseg", folder, "train", 3, [0, 0], (64, 96))
    miniature.write_split("mseg", folder, "val", 2, [0, 1], (64, 96))
    return folder


@pytest.fixture
def folder(shared_folder, tmp_path):
    """A copy of the miniature that a test may modify."""
    return shutil.copytree(shared_folder, tmp_path / "mseg")


def pixels(path):
    with Image.open(path) as image:
        return np.array(image)


@pytest.mark.parametrize("name", mseg.TRAINING_SETS)
def test_training_sets_read_the_miniature(name, shared_folder):
    source = mseg.MSegTrainingSet(name, shared_folder)
    assert (len(source), source.num_classes) == (3, 194)
    assert source.classes == mseg.UNIVERSAL_CLASSES
    root, photo, mask = FILES[name]
    record = source[1]
    expected = pixels(shared_folder / root / photo)
    np.testing.assert_array_equal(record["photo"], expected)
    # Training classes have the same names as their universal classes.
    ids = pixels(shared_folder / root / mask)
    classes = mseg.class_names(name)
    for number in np.unique(ids):
        universal = 255
        if number != 255:
            universal = mseg.UNIVERSAL_CLASSES.index(classes[number])
        assert set(record["mask"][ids == number]) == {universal}
    assert (ids == 255).any()
    assert len(np.unique(ids)) > 6


@pytest.mark.parametrize("name", mseg.TEST_SETS)
def test_test_sets_read_the_miniature(name, shared_folder):
    source = mseg.MSegTestSet(name, shared_folder)
    assert len(source) == len(source.names) == 2
    assert source.classes == mseg.class_names(name)
    np.testing.assert_array_equal(source.universal_to, mseg.universal_to(name))
    root, photo, mask = FILES[name]
    record = source[1]
    root = shared_folder / root
    np.testing.assert_array_equal(record["photo"], pixels(root / photo))
    np.testing.assert_array_equal(record["mask"], pixels(root / mask))
    assert (record["mask"] == 255).any()
    assert record["mask"][record["mask"] < 255].max() < source.num_classes


def test_validation_and_training_photos_are_disjoint(shared_folder):
    source = mseg.MSeg(shared_folder, "val")
    assert len(source) == len(source.names) == 7 * 2
    assert len(set(source.names)) == 14
    photos = {s.photo_paths[0] for s in source.sources.values()}
    for name, validation in source.sources.items():
        training = mseg.MSegTrainingSet(name, shared_folder)
        assert not photos & set(training.photo_paths)
        assert len(validation) == 2


def test_an_epoch_repeats_every_photo_as_published(shared_folder):
    source = mseg.MSeg(shared_folder)
    expected = {
        "ade20k-150-relabeled": 6,
        "bdd-relabeled": 17,
        "cityscapes-19-relabeled": 40,
        "coco-panoptic-133-relabeled": 1,
        "idd-39-relabeled": 17,
        "mapillary-public65-relabeled": 7,
        "sunrgbd-37-relabeled": 24,
    }
    assert len(source) == 3 * sum(expected.values())
    in_order = [source[index]["name"] for index in range(len(source))]
    assert tuple(in_order) == source.names
    shuffled = grain.MapDataset.source(source).seed(0).shuffle()
    for names in (in_order, [record["name"] for record in shuffled]):
        counts = collections.Counter(names)
        assert len(counts) == 7 * 3
        for name, count in counts.items():
            assert count == expected[name.split("/")[0]]


def test_negative_indices_count_from_the_end(shared_folder):
    names = ["bdd-relabeled", "idd-39-relabeled"]
    source = mseg.MSeg(shared_folder, data_sets=names)
    assert len(source) == 2 * 17 * 3
    for index in (0, 50, 51, 101):
        record, same = source[index], source[index - len(source)]
        assert record["name"] == same["name"] == source.names[index]
        np.testing.assert_array_equal(record["mask"], same["mask"])
    assert source[50]["name"] == "bdd-relabeled/00000002-00000000"
    assert source[51]["name"] == "idd-39-relabeled/0/000000"
    for index in (102, -103):
        with pytest.raises(IndexError, match=f"Received: index={index}"):
            source[index]


def test_sources_are_picklable(shared_folder):
    source = pickle.loads(pickle.dumps(mseg.MSeg(shared_folder)))
    first = mseg.MSeg(shared_folder)[100]
    assert source[100]["name"] == first["name"]
    np.testing.assert_array_equal(source[100]["photo"], first["photo"])


def test_layouts_match_the_published_protocol():
    """Compare with `layouts.json`, if available."""
    if not (TABLES / "layouts.json").is_file():
        pytest.skip("needs layouts.json in the folder that MSEG_TABLES names")
    published = json.loads((TABLES / "layouts.json").read_text())
    assert set(published["train"]) == set(mseg.REPEATS)
    for kind in ("train", "test"):
        for name, fields in published[kind].items():
            layout = layout_of(name, "train")
            for key, value in fields.items():
                if key == "repeat":
                    assert mseg.REPEATS[name] == value
                elif key != "mask_stem_rule":
                    assert getattr(layout, key) == value


def test_grayscale_photos_become_rgb(shared_folder):
    source = mseg.MSegTrainingSet("coco-panoptic-133-relabeled", shared_folder)
    assert pixels(source.photo_paths[-1]).ndim == 2
    assert source[-1]["photo"].shape[-1] == 3


def test_lists_select_and_order_the_photos(folder):
    path = folder / "dataset_lists" / "bdd-relabeled" / "list" / "train.txt"
    path.parent.mkdir(parents=True)
    path.write_text(
        "00000002-00000000\n"
        "\n"
        "seg/images/train/00000000-00000000.jpg "
        "seg_relabeled/labels/train/00000000-00000000_train_id.png\r\n"
    )
    source = mseg.MSegTrainingSet("bdd-relabeled", folder)
    assert source.names == ("00000002-00000000", "00000000-00000000")
    elsewhere = shutil.move(folder / "dataset_lists", folder.parent / "lists")
    assert len(mseg.MSegTrainingSet("bdd-relabeled", folder)) == 3
    source = mseg.MSegTrainingSet("bdd-relabeled", folder, lists=elsewhere)
    assert len(source) == 2
    assert len(mseg.MSegTestSet("kitti-19", folder, elsewhere)) == 2


@pytest.mark.parametrize(
    "lines, message",
    [
        ("", "at least one photo.*Received: 0 photos"),
        ("000001\n000001\n", "Received: 2 photos, 1 of them distinct"),
        ("000001\n000009\n", r"2 of 4 files missing.*img-000009\.jpg"),
        ("a b c\n", "must be the stem.*img-STEM.jpg.*Received: 'a b c'"),
        ("image/train/000001.jpg x.png", "Received: 'image/train/000001.jpg"),
        (
            "image/train/img-000001.jpg semseg-relabeled37/train/000001.png",
            "00STEM.png. Received: 'image/train/img-000001.jpg",
        ),
    ],
)
def test_invalid_lists_raise(lines, message, folder):
    name = "sunrgbd-37-relabeled"
    path = folder / "dataset_lists" / name / "list" / "train.txt"
    path.parent.mkdir(parents=True)
    path.write_text(lines)
    with pytest.raises(ValueError, match=message) as caught:
        mseg.MSegTrainingSet(name, folder)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", mseg.TEST_SETS)
def test_missing_test_set_lists_raise(name, folder):
    shutil.rmtree(folder / "dataset_lists")
    if name == "wilddash-19":
        assert len(mseg.MSegTestSet(name, folder)) == 2
        return
    message = f"must contain {name}/list/val.txt.*{mseg.layouts.SCRIPTS}"
    with pytest.raises(ValueError, match=message):
        mseg.MSegTestSet(name, folder)
    with pytest.raises(ValueError, match="`lists` must be the folder"):
        mseg.MSegTestSet(name, folder, lists=folder / "nowhere")


def test_unpaired_photos_and_masks_raise(folder):
    root = folder / "Cityscapes"
    mask = root / FILES["cityscapes-19-relabeled"][2]
    mask.unlink()
    with pytest.raises(ValueError, match="3 photos and 2 masks") as caught:
        mseg.MSeg(folder)
    assert f"1 files missing: {mask}." in str(caught.value)
    photo = root / FILES["cityscapes-19-relabeled"][1]
    photo.unlink()
    assert len(mseg.MSegTrainingSet("cityscapes-19-relabeled", folder)) == 2
    other = photo.parents[1] / "city0/city0_000000_000019_leftImg8bit.png"
    other.unlink()
    with pytest.raises(ValueError, match="1 photos and 2 masks") as caught:
        mseg.MSeg(folder)
    assert f"1 files missing: {other}." in str(caught.value)


def test_unrelated_files_are_skipped(folder):
    root, photo, mask = FILES["cityscapes-19-relabeled"]
    for path in (
        (folder / root / photo).parent / "._city1_leftImg8bit.png",
        (folder / root / mask).parent / "city1_000000_000019_gtFine_color.png",
        folder / "SUNRGBD" / "image" / "train" / "README.jpg",
    ):
        path.write_bytes(b"")
    assert len(mseg.MSeg(folder)) == len(mseg.MSeg(folder).names) == 3 * 112


def test_missing_and_empty_folders_raise(folder):
    shutil.rmtree(folder / "BDD/bdd100k/seg_relabeled")
    with pytest.raises(ValueError, match="`data_dir` must contain") as caught:
        mseg.MSeg(folder)
    assert str(folder / "BDD/bdd100k/seg_relabeled") in str(caught.value)
    names = [name for name in mseg.TRAINING_SETS if name != "bdd-relabeled"]
    assert len(mseg.MSeg(folder, data_sets=names).sources) == 6
    shutil.rmtree(folder / "SUNRGBD/image/train")
    (folder / "SUNRGBD/image/train").mkdir()
    with pytest.raises(ValueError, match="end in '.jpg'.*Received: none in"):
        mseg.MSegTrainingSet("sunrgbd-37-relabeled", folder)


def test_invalid_ids_raise(folder):
    root, _, mask = FILES["bdd-relabeled"]
    path = folder / root / mask
    Image.fromarray(np.full_like(pixels(path), 21)).save(path)
    with pytest.raises(ValueError, match="from 0 to 20.*with 21") as caught:
        mseg.MSegTrainingSet("bdd-relabeled", folder)[1]
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda f: mseg.MSeg(f, "test"), "`split` of .*split='test'"),
        (lambda f: mseg.MSeg(f, data_sets=()), "at least one training set"),
        (
            lambda f: mseg.MSeg(f, data_sets=["bdd-relabeled"] * 2),
            "training set once. Received: data_sets=",
        ),
        (lambda f: mseg.MSeg(f, data_sets=["coco"]), "mean 'coco-panoptic"),
        (lambda f: mseg.MSegTestSet("kitti", f), "mean 'kitti-19'"),
    ],
)
def test_invalid_arguments_raise(call, message, shared_folder):
    with pytest.raises(ValueError, match=message):
        call(shared_folder)


def test_sources_store_one_string_per_record(tmp_path):
    """Storing full paths would multiply memory use for large data sets."""
    layout = Layout("set", "photos", "masks")
    for part in ("photos", "masks"):
        (tmp_path / "set" / part).mkdir(parents=True)
        for number in range(200):
            (tmp_path / "set" / part / f"{number:06d}.png").touch()
    ids = np.zeros(1, "int32")
    few = LayoutFiles(layout, tmp_path, None, ["a"], ids)
    path = tmp_path / "list.txt"
    path.write_text("000000\n")
    one = LayoutFiles(layout, tmp_path, path, ["a"], ids)
    size = len(pickle.dumps(few)) - len(pickle.dumps(one))
    assert size < 199 * (len("000000") + 8)
    assert few.photo_paths[199].endswith("set/photos/000199.png")
    assert len(few.mask_paths) == 200
