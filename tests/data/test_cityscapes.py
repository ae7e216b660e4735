import numpy as np
import pytest
from PIL import Image

from gss_keras.data import Cityscapes, batches, catalog
from gss_keras.data.cityscapes import LABEL_IDS, cityscapes_table
from gss_keras.synthetic import miniature

pytestmark = pytest.mark.any_backend

# Label ids by class name, from the benchmark's documentation.
BENCHMARK = {
    "road": 7, "sidewalk": 8, "building": 11, "wall": 12, "fence": 13,
    "pole": 17, "traffic light": 19, "traffic sign": 20, "vegetation": 21,
    "terrain": 22, "sky": 23, "person": 24, "rider": 25, "car": 26,
    "truck": 27, "bus": 28, "train": 31, "motorcycle": 32, "bicycle": 33,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    return miniature.write("cityscapes", tmp_path / "data", size=(32, 64))


def mask_file(folder, name, split="train"):
    city = name.split("_")[0]
    return folder / "gtFine" / split / city / f"{name}_gtFine_labelIds.png"


def test_label_ids_match_the_benchmark():
    classes = catalog.card("cityscapes").classes
    assert dict(zip(classes, LABEL_IDS, strict=True)) == BENCHMARK


def test_label_ids_match_cityscapesscripts():
    labels = pytest.importorskip(
        "cityscapesscripts.helpers.labels",
        reason="needs cityscapesscripts",
    ).labels
    card = catalog.card("cityscapes")
    table = cityscapes_table()
    for label in labels:
        if label.id < 0:
            continue
        assert table[label.id] == label.trainId
        if label.trainId < 255:
            assert card.classes[label.trainId] == label.name
            assert tuple(card.colors[label.trainId]) == label.color


def test_table_covers_the_ids_of_the_data_set():
    table = cityscapes_table()
    assert (table[list(BENCHMARK.values())] == np.arange(19)).all()
    others = sorted(set(range(34)) - set(BENCHMARK.values()))
    assert (table[others] == 255).all()
    assert table[255] == 255
    assert (table[34:255] == -1).all()
    assert (table[256:] == -1).all()


def test_label_ids_become_class_ids(folder):
    source = Cityscapes(folder, "train")
    for index, name in enumerate(source.names):
        with Image.open(mask_file(folder, name)) as image:
            ids = np.array(image)
        mask = source[index]["mask"]
        for train_id, label_id in enumerate(BENCHMARK.values()):
            np.testing.assert_array_equal(mask == train_id, ids == label_id)
        assert (mask == 255).any()


def test_records_are_sorted_by_city(folder):
    source = Cityscapes(folder, "train")
    assert source.names == tuple(sorted(source.names))
    assert {name.split("_")[0] for name in source.names} == {
        "aachen", "bremen",
    }  # fmt: skip


def test_the_test_split_has_no_labels(folder):
    source = Cityscapes(folder, "test")
    for index in range(len(source)):
        assert (source[index]["mask"] == 255).all()
    for path in (folder / "gtFine" / "test").glob("*/*"):
        path.unlink()
    assert len(Cityscapes(folder, "test")) == len(source)


def test_photos_without_mask_raise(folder):
    name = Cityscapes(folder, "train").names[1]
    mask_file(folder, name).unlink()
    with pytest.raises(ValueError, match=f"must have a mask.*1 of 4.*{name}"):
        Cityscapes(folder, "train")


def test_invalid_ids_raise(folder):
    source = Cityscapes(folder, "train")
    path = mask_file(folder, source.names[0])
    Image.fromarray(np.full((32, 64), 34, "uint8")).save(path)
    with pytest.raises(
        ValueError,
        match="from 0 to 33, or 255.*labelIds.png with 34.*--skip-bad-files",
    ):
        source[0]


def test_empty_splits_raise(folder):
    for path in folder.glob("*/val/*/*"):
        path.unlink()
    with pytest.raises(ValueError, match=r"at least one photo.*val"):
        Cityscapes(folder, "val")


def test_works_with_batches(folder):
    source = Cityscapes(folder, "train")
    photos, masks = batches(source, batch_size=2)[0]
    assert photos.shape == (2, 32, 64, 3)
    np.testing.assert_array_equal(masks[1], source[1]["mask"])
