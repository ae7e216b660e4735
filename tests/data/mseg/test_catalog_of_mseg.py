"""MSeg in the catalog: cards and miniatures."""

import numpy as np
import pytest

from gss_keras.data import catalog, load, mseg
from gss_keras.maskige import palettes
from gss_keras.synthetic import miniature

pytestmark = pytest.mark.any_backend


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "mseg"
    counts = {"train": 2, "val": 2}
    return miniature.write("mseg", path, size=(48, 64), counts=counts)


def test_miniature_contains_training_and_test_sets(folder):
    train, val = load("mseg", folder, "train"), load("mseg", folder, "val")
    assert (len(train), len(val)) == (2 * 112, 14)
    for test_set in mseg.TEST_SETS:
        name = f"mseg-{test_set}"
        source = load(name, folder, "val")
        assert (len(source), source.classes) == (2, catalog.card(name).classes)


@pytest.mark.parametrize("test_set", mseg.TEST_SETS)
def test_single_test_sets_have_miniatures(test_set, tmp_path):
    name = f"mseg-{test_set}"
    counts = {"val": 1}
    folder = miniature.write(name, tmp_path / "x", size=(32, 48), counts=counts)
    assert len(load(name, folder, "val")) == 1
    with pytest.raises(ValueError, match=f"`split` of {name} .*split='train'"):
        load(name, folder, "train")


def test_miniatures_are_deterministic(folder, tmp_path):
    arguments = {"size": (48, 64), "counts": {"train": 2, "val": 2}}
    again = miniature.write("mseg", tmp_path / "again", **arguments)
    other = miniature.write("mseg", tmp_path / "other", seed=1, **arguments)
    first, same, different = (
        load("mseg", path, "val")[3] for path in (folder, again, other)
    )
    np.testing.assert_array_equal(first["mask"], same["mask"])
    np.testing.assert_array_equal(first["photo"], same["photo"])
    assert not np.array_equal(first["mask"], different["mask"])


def test_cards_have_classes_colors_and_sizes():
    card = catalog.card("mseg")
    assert card.classes == mseg.UNIVERSAL_CLASSES
    np.testing.assert_array_equal(card.colors, palettes.mseg())
    photos = {
        name: catalog.card(f"mseg-{name}").splits["val"]
        for name in mseg.TEST_SETS
    }
    assert photos == {
        "voc2012": 1449,
        "pascal-context-60": 5105,
        "camvid-11": 101,
        "wilddash-19": 70,
        "kitti-19": 50,
        "scannet-20": 5436,
    }


def test_classes_have_the_same_colors_in_mseg_and_camvid():
    cityscapes, camvid = catalog.card("cityscapes"), catalog.card("camvid")
    assert catalog.card("mseg-kitti-19").classes == cityscapes.classes
    mseg_camvid = catalog.card("mseg-camvid-11")
    for mseg_name, name in (("Sky", "sky"), ("Tree", "tree"), ("Car", "car")):
        np.testing.assert_array_equal(
            mseg_camvid.colors[mseg_camvid.classes.index(mseg_name)],
            camvid.colors[camvid.classes.index(name)],
        )
