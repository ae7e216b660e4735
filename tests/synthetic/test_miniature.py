import numpy as np
import pytest
from PIL import Image

from gss_keras.data import load
from gss_keras.synthetic import miniature

pytestmark = pytest.mark.any_backend


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def write(folder, name="camvid", **kwargs):
    kwargs = {"size": (32, 64), "counts": {"train": 2}} | kwargs
    return miniature.write(name, folder, **kwargs)


@pytest.mark.parametrize("name", ["cityscapes", "ade20k", "camvid-32"])
def test_files_are_a_function_of_the_seed(name, tmp_path):
    first = files(write(tmp_path / "a", name, seed=3))
    assert files(write(tmp_path / "b", name, seed=3)) == first
    assert files(write(tmp_path / "c", name, seed=4)) != first


def test_photos_differ_within_and_between_splits(tmp_path):
    folder = write(tmp_path / "x", counts={"train": 2, "val": 1})
    photos = [
        load("camvid", folder, split)[index]["photo"]
        for split, index in (("train", 0), ("train", 1), ("val", 0))
    ]
    assert (photos[0] != photos[1]).any()
    assert (photos[0] != photos[2]).any()


def test_cityscapes_layout(tmp_path):
    folder = miniature.write("cityscapes", tmp_path / "x", size=(32, 64))
    names = {name for name in files(folder) if "/val/" in name}
    assert names == {
        f"{kind}/val/{city}/{city}_00000{number}_000019_{suffix}.png"
        for number, city in enumerate(("frankfurt", "lindau"))
        for kind, suffix in (
            ("leftImg8bit", "leftImg8bit"),
            ("gtFine", "gtFine_labelIds"),
            ("gtFine", "gtFine_color"),
            ("gtFine", "gtFine_instanceIds"),
        )
    }


def test_masks_contain_many_classes_and_unlabeled_areas(tmp_path):
    folder = miniature.write("cityscapes", tmp_path / "x")
    source = load("cityscapes", folder, "train")
    masks = np.stack([source[index]["mask"] for index in range(len(source))])
    assert len(np.unique(masks)) > 12
    assert 0.02 < (masks == 255).mean() < 0.3


def test_cityscapes_files_contain_label_ids(tmp_path):
    folder = miniature.write("cityscapes", tmp_path / "x", size=(32, 64))
    ids = set()
    for path in folder.glob("gtFine/train/*/*_labelIds.png"):
        with Image.open(path) as image:
            ids |= set(np.unique(image).tolist())
    # Label ids, not the 19 class ids, with void ids among them.
    assert max(ids) > 19
    assert ids & {0, 1, 3, 4, 5}
    for path in folder.glob("gtFine/test/*/*_labelIds.png"):
        with Image.open(path) as image:
            assert set(np.unique(image).tolist()) <= {1, 3}


def test_existing_miniatures_are_reused(tmp_path):
    folder = write(tmp_path / "deep" / "x")
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert write(folder) == folder
    assert {
        path: path.stat().st_mtime_ns for path in folder.rglob("*")
    } == times
    assert [path.name for path in folder.parent.iterdir()] == ["x"]


def test_other_folders_are_not_overwritten(tmp_path):
    folder = write(tmp_path / "x")
    with pytest.raises(ValueError, match="`folder` must not exist.*'seed': 0"):
        write(folder, seed=1)
    (tmp_path / "own").mkdir()
    with pytest.raises(ValueError, match="`folder` must .*other files"):
        write(tmp_path / "own")


@pytest.mark.parametrize(
    "kwargs, message",
    [
        (dict(name="imagenet"), "`name` must be a data set"),
        (dict(counts={"training": 1}), "`counts` must .*train, val, test"),
        (dict(counts={}), "`counts` must be a dict"),
        (dict(counts={"train": 0}), "`count` must be an int of at least 1"),
        (dict(size=(8, 64)), "`size` must be a pair of ints of at least 16"),
        (dict(seed=-1), "`seed` must be an int of at least 0"),
    ],
)
def test_invalid_arguments_raise(kwargs, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "x", **kwargs)
    assert not list(tmp_path.iterdir())
