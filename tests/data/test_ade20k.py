import numpy as np
import pytest
from PIL import Image

from gss_keras.data import ADE20K, catalog
from gss_keras.data.ade20k import ade20k_table
from gss_keras.synthetic import miniature

pytestmark = pytest.mark.any_backend


@pytest.fixture
def folder(tmp_path):
    return miniature.write("ade20k", tmp_path / "data", size=(32, 64))


def test_table_ignores_0_and_shifts_class_ids():
    table = ade20k_table()
    assert table[0] == table[255] == 255
    assert (table[1:151] == np.arange(150)).all()
    assert (table[151:255] == -1).all()


def test_masks_are_label_ids_minus_one(folder):
    source = ADE20K(folder, "train")
    annotations = folder / "ADEChallengeData2016/annotations/training"
    for index, name in enumerate(source.names):
        with Image.open(annotations / f"{name}.png") as image:
            ids = np.array(image).astype(int)
        expected = np.where(ids == 0, 255, ids - 1)
        np.testing.assert_array_equal(source[index]["mask"], expected)


def test_photos_vary_in_size(folder):
    source = ADE20K(folder, "train")
    shapes = {source[index]["photo"].shape for index in range(len(source))}
    assert shapes == {(32, 64, 3), (32, 48, 3), (64, 32, 3)}


def test_data_dir_can_be_the_folder_or_its_parent(folder):
    names = ADE20K(folder, "val").names
    assert ADE20K(folder / "ADEChallengeData2016", "val").names == names
    assert names == ("ADE_val_00000001", "ADE_val_00000002")


# From the benchmark's list of objects: label id and first name.
@pytest.mark.parametrize(
    "number, name, color",
    [
        (1, "wall", (120, 120, 120)),
        (3, "sky", (6, 230, 230)),
        (13, "person", (150, 5, 61)),
        (21, "car", (0, 102, 200)),
        (62, "bridge", (255, 82, 0)),
        (91, "airplane", (0, 255, 82)),
        (150, "flag", (92, 0, 255)),
    ],
)
def test_classes_match_the_benchmark(number, name, color):
    card = catalog.card("ade20k")
    assert card.classes[number - 1] == name
    assert tuple(card.colors[number - 1]) == color


def test_invalid_ids_raise(folder):
    source = ADE20K(folder, "val")
    size = source[0]["mask"].shape
    Image.fromarray(np.full(size, 151, "uint8")).save(source.mask_paths[0])
    with pytest.raises(
        ValueError, match=r"from 0 to 150.*ADE_val_00000001.png with 151"
    ):
        source[0]
