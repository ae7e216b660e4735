import numpy as np
import pytest
from PIL import Image

from gss_keras import data
from gss_keras.data import catalog, load
from gss_keras.synthetic import miniature, streets

pytestmark = pytest.mark.any_backend

NAMES = ("cityscapes", "ade20k", "camvid", "camvid-32", "folders")


@pytest.mark.parametrize("name", catalog.names())
def test_cards_are_complete(name):
    card = catalog.card(name)
    assert card.name == name
    assert len(set(card.classes)) == card.num_classes <= 254
    assert card.colors.shape == (card.num_classes, 3)
    assert card.colors.dtype == np.uint8
    assert {"train", "val"} & set(card.splits)
    for text in (card.title, card.layout, card.license, card.url):
        assert text


@pytest.mark.parametrize(
    "name, num_classes, splits",
    [
        ("cityscapes", 19, {"train": 2975, "val": 500, "test": 1525}),
        ("ade20k", 150, {"train": 20210, "val": 2000}),
        ("camvid", 11, {"train": 367, "val": 101, "test": 233}),
        ("camvid-32", 11, {"train": 367, "val": 101, "test": 233}),
    ],
)
def test_cards_have_the_official_sizes(name, num_classes, splits):
    card = catalog.card(name)
    assert card.num_classes == num_classes
    assert card.splits == splits


def test_cards_are_immutable():
    catalog.card("ade20k").colors[:] = 0
    assert catalog.card("ade20k").colors.any()
    with pytest.raises(AttributeError):
        catalog.card("ade20k").name = "x"


@pytest.mark.parametrize("name", NAMES)
def test_load_reads_every_split(name, tmp_path):
    folder = miniature.write(name, tmp_path / "data", size=(32, 64))
    card = catalog.card(name)
    for split in card.splits:
        source = load(name, folder, split)
        assert len(source) == len(source.names) >= 2
        if name != "folders":
            assert source.classes == card.classes
        for index in range(len(source)):
            record = source[index]
            mask = record["mask"]
            assert record["photo"].shape == (*mask.shape, 3)
            assert record["name"] == source.names[index]
            assert mask.dtype == np.int32
            assert mask.min() >= 0
            assert mask[mask < 255].max(initial=0) < source.num_classes


def test_splits_are_disjoint(tmp_path):
    for name in NAMES[:4]:
        folder = miniature.write(name, tmp_path / name, size=(32, 64))
        records = [
            record
            for split in catalog.card(name).splits
            for record in load(name, folder, split).names
        ]
        assert len(set(records)) == len(records)


def test_unknown_names_raise_with_the_closest_match():
    with pytest.raises(
        ValueError, match=r"`name` must be .*Nearest: cityscapes.*'citiscapes'"
    ):
        catalog.card("citiscapes")
    with pytest.raises(ValueError, match="Nearest: ade20k"):
        load("ADE-20K", "anywhere", "train")


@pytest.mark.parametrize("name", NAMES)
def test_missing_folders_raise_with_the_layout(name, tmp_path):
    with pytest.raises(ValueError, match="is missing") as caught:
        load(name, tmp_path / "nowhere", "train")
    message = str(caught.value)
    card = catalog.card(name)
    for line in card.layout.splitlines():
        assert line in message
    assert card.url in message
    assert card.license in message
    assert str(tmp_path / "nowhere") in message


@pytest.mark.parametrize("name", NAMES[:4])
def test_unknown_splits_raise(name, tmp_path):
    with pytest.raises(ValueError, match="`split` of .*split='validation'"):
        load(name, tmp_path, "validation")


def test_unknown_readers_raise(tmp_path):
    with pytest.raises(
        ValueError, match="`reader` of ade20k must be one of 'files'"
    ):
        load("ade20k", tmp_path, "train", reader="tfds")


def test_splits_of_folders_must_have_equal_classes(tmp_path):
    for split in ("train", "val"):
        streets.draw(tmp_path / split, 1, size=(32, 48))
    assert load("folders", tmp_path, "val").classes == streets.CLASSES
    classes = tmp_path / "val" / "classes.txt"
    classes.write_text("\n".join(reversed(streets.CLASSES)))
    for split in ("train", "val"):
        with pytest.raises(ValueError, match=r"same classes.*val.classes\.txt"):
            load("folders", tmp_path, split)


def test_folders_can_have_custom_splits(tmp_path):
    streets.draw(tmp_path / "harbor", 1, size=(32, 48))
    assert len(load("folders", tmp_path, "harbor")) == 1
    with pytest.raises(ValueError, match="images is missing"):
        load("folders", tmp_path, "train")


def test_grayscale_photos_become_rgb(tmp_path):
    folder = miniature.write("ade20k", tmp_path / "x", size=(32, 64))
    source = load("ade20k", folder, "val")
    with Image.open(source.photo_paths[-1]) as image:
        assert image.mode == "L"
        gray = np.array(image)
    photo = source[-1]["photo"]
    for channel in range(3):
        np.testing.assert_array_equal(photo[..., channel], gray)


def test_exports():
    assert data.load is load
    assert data.catalog is catalog
