"""Writing predictions in the benchmarks' submission formats."""

import numpy as np
import pytest
from PIL import Image

from gss_keras.data import catalog
from gss_keras.data.submission import Submission

pytestmark = pytest.mark.any_backend


def make_mask(num_classes, has_void=False):
    mask = np.arange(12 * 17).reshape(12, 17) % num_classes
    if has_void:
        mask[3:5] = 255
    return mask.astype("int32")


@pytest.mark.parametrize("name", catalog.names())
@pytest.mark.parametrize("has_void", [False, True])
def test_masks_survive_a_round_trip(name, has_void, tmp_path):
    count = catalog.card(name).num_classes or 7
    submission = Submission(tmp_path / "new" / "folder", name, count)
    mask = make_mask(count, has_void)
    path = submission.write("some/record", mask)
    assert path.is_file()
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("PNG", "L")
    np.testing.assert_array_equal(submission.read("some/record"), mask)


def test_cityscapes_files_contain_label_ids(tmp_path):
    submission = Submission(tmp_path, "cityscapes")
    name = "frankfurt_000000_000294"
    path = submission.write(name, np.array([[0, 5, 18, 255]]))
    # The label ids of road, pole, bicycle and unlabeled.
    assert np.array(Image.open(path)).tolist() == [[7, 17, 33, 0]]
    assert path.name.startswith(name) and path.suffix == ".png"


def test_ade20k_label_ids_start_at_1(tmp_path):
    submission = Submission(tmp_path, "ade20k")
    path = submission.write("ADE_val_00000001", np.array([[0, 149, 255]]))
    assert np.array(Image.open(path)).tolist() == [[1, 150, 0]]
    assert path.name == "ADE_val_00000001.png"


def test_other_files_contain_class_ids(tmp_path):
    submission = Submission(tmp_path, num_classes=3)
    path = submission.write("a.b", np.array([[0, 2, 255]]))
    assert np.array(Image.open(path)).tolist() == [[0, 2, 255]]
    assert path.name == "a.b.png"


@pytest.mark.parametrize("bad", [-1, 3, 254, 256])
def test_writing_invalid_ids_raises(bad, tmp_path):
    submission = Submission(tmp_path, num_classes=3)
    with pytest.raises(ValueError, match="`mask` must contain ids from 0 to 2"):
        submission.write("name", np.array([[0, bad]]))
    assert not list(tmp_path.iterdir())


def test_reading_invalid_ids_raises(tmp_path):
    Image.fromarray(np.array([[9]], "uint8")).save(tmp_path / "name.png")
    submission = Submission(tmp_path, num_classes=3)
    with pytest.raises(ValueError, match=r"name\.png with 9"):
        submission.read("name")


@pytest.mark.parametrize("count", [None, 0, 256])
def test_invalid_num_classes_raise(count, tmp_path):
    with pytest.raises(ValueError, match="`num_classes` must be from 1"):
        Submission(tmp_path, "folders", count)
    with pytest.raises(ValueError, match="cityscapes"):
        Submission(tmp_path, "cityscape")
