import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from gss_keras.data import Folders
from gss_keras.synthetic import streets

pytestmark = pytest.mark.any_backend

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def scenes():
    source = streets.Streets(24, seed=0)
    return [source[index] for index in range(24)]


def test_scenes_contain_every_class(scenes):
    masks = np.stack([scenes[index]["mask"] for index in range(24)])
    assert streets.Streets.num_classes == len(streets.CLASSES) == 9
    assert masks.dtype == np.int32
    assert masks.shape == (24, 128, 192)
    fractions = np.bincount(masks.ravel(), minlength=9) / masks.size
    assert len(fractions) == 9
    assert fractions.min() > 0.01
    assert fractions.max() < 0.5
    frequencies = [(masks == label).any((1, 2)).mean() for label in range(9)]
    assert min(frequencies) > 0.5


def test_scenes_are_a_function_of_seed_and_index(scenes):
    again = streets.Streets(3, seed=0)[2]
    np.testing.assert_array_equal(again["photo"], scenes[2]["photo"])
    np.testing.assert_array_equal(again["mask"], scenes[2]["mask"])
    other = streets.Streets(3, seed=1)[2]
    assert (other["photo"] != scenes[2]["photo"]).mean() > 0.5


def test_photos_vary_in_brightness(scenes):
    photos = np.stack([scenes[index]["photo"] for index in range(24)])
    assert photos.dtype == np.uint8
    assert photos.std((1, 2, 3)).min() > 10
    means = photos.mean((1, 2, 3))
    assert 50 < means.min() < means.max() < 210
    assert np.ptp(means) > 30


def test_poles_are_at_least_3_pixels_wide(scenes):
    """Measure the median width of the horizontal runs of pole pixels."""
    widths = []
    for index in range(24):
        is_pole = scenes[index]["mask"] == 5
        for row in np.pad(is_pole, ((0, 0), (1, 1))).astype(int):
            starts = np.flatnonzero(np.diff(row) == 1)
            ends = np.flatnonzero(np.diff(row) == -1)
            widths.extend(ends - starts)
    assert np.median(widths) >= 3


@pytest.mark.parametrize("size", [(32, 48), (50, 33), (160, 96)])
def test_scenes_can_have_any_size(size):
    record = streets.Streets(1, seed=4, size=size)[0]
    assert record["photo"].shape == (*size, 3)
    assert record["mask"].shape == size


def test_draw_writes_a_readable_folder(tmp_path):
    folder = tmp_path / "deep" / "streets"
    source = streets.draw(folder, count=3, seed=7, size=(32, 48))
    assert sorted(path.name for path in folder.iterdir()) == [
        "classes.txt", "images", "masks", "streets.json",
    ]  # fmt: skip
    assert [path.name for path in folder.parent.iterdir()] == ["streets"]
    assert json.loads((folder / "streets.json").read_text())["seed"] == 7
    read = Folders(folder / "images", folder / "masks", folder / "classes.txt")
    rendered = streets.Streets(3, seed=7, size=(32, 48))
    assert read.classes == source.classes == rendered.classes
    for index in range(3):
        for key in ("photo", "mask"):
            np.testing.assert_array_equal(
                read[index][key], rendered[index][key]
            )


def test_scenes_do_not_depend_on_workers(tmp_path):
    sequential, parallel = (
        streets.draw(tmp_path / str(n), 5, seed=2, size=(32, 48), workers=n)
        for n in (0, 2)
    )
    for one, other in zip(sequential, parallel, strict=True):
        assert one["name"] == other["name"]
        np.testing.assert_array_equal(one["photo"], other["photo"])
        np.testing.assert_array_equal(one["mask"], other["mask"])


def test_draw_reuses_existing_folders(tmp_path):
    folder = tmp_path / "streets"
    streets.draw(folder, count=1, size=(32, 48))
    time = (folder / "images" / "00000.png").stat().st_mtime_ns
    streets.draw(folder, count=1, size=(32, 48))
    assert (folder / "images" / "00000.png").stat().st_mtime_ns == time
    with pytest.raises(ValueError, match="`folder` must not exist yet.*count"):
        streets.draw(folder, count=2, size=(32, 48))


def test_draw_does_not_overwrite_other_files(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="with other files"):
        streets.draw(tmp_path, count=1)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_draw_is_atomic(tmp_path, monkeypatch):
    def fail(self, index):
        if index == 2:
            raise RuntimeError("interrupted")
        return original(self, index)

    original = streets.Streets.__getitem__
    monkeypatch.setattr(streets.Streets, "__getitem__", fail)
    with pytest.raises(RuntimeError, match="interrupted"):
        streets.draw(tmp_path / "streets", count=3, size=(32, 48))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "kwargs, message",
    [
        (dict(count=0), "`count` must .*count=0"),
        (dict(count=1, seed=-1), "`seed` must .*seed=-1"),
        (dict(count=1, size=(8, 64)), "`size` must .*at least 16.*size=8"),
        (dict(count=1, size=(64.0, 64)), "`size` must .*size=64.0"),
    ],
)
def test_invalid_arguments_raise(kwargs, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        streets.draw(tmp_path / "streets", **kwargs)
    assert not list(tmp_path.iterdir())


def test_color_and_position_do_not_determine_the_class():
    """Nearest neighbors in color and position stay below 35 mIoU."""
    pytest.importorskip("scipy")
    path = ROOT / "benchmarks" / "streets_baseline.py"
    spec = importlib.util.spec_from_file_location("streets_baseline", path)
    baseline = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(baseline)
    train, val = streets.Streets(40, seed=0), streets.Streets(12, seed=1)
    miou, ious = baseline.nearest_neighbor_miou(train, val, pixels=1000)
    assert miou < 35
    # The baseline does learn something: sky is at the top, road at the bottom.
    assert miou > 12
    assert len(ious) == 9
    # Sanity check: it scores higher on the scenes that it was fitted to.
    train_miou, _ = baseline.nearest_neighbor_miou(val, val, pixels=6000)
    assert train_miou > 40
