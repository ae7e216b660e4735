"""Class names of models: saving and validation."""

import pytest
from tiny import tiny_backbone, tiny_posterior, tiny_prior

import gss_keras
from gss_keras.data import catalog

NAMES = ("sky", "road", "car", "tree", "person")


def test_names_are_saved_with_a_generative_segmenter(tmp_path):
    posterior = tiny_posterior(classes=list(NAMES))
    segmenter = gss_keras.GenerativeSegmenter(tiny_prior(posterior))
    assert segmenter.classes == posterior.classes == NAMES
    segmenter.save_to_preset(tmp_path / "preset")
    loaded = gss_keras.GenerativeSegmenter.from_preset(tmp_path / "preset")
    assert loaded.classes == NAMES


def test_names_are_saved_with_a_discriminative_segmenter(tmp_path):
    segmenter = gss_keras.DiscriminativeSegmenter(
        tiny_backbone(), 5, channels=8, classes=NAMES
    )
    segmenter.save_to_preset(tmp_path / "preset")
    load = gss_keras.DiscriminativeSegmenter.from_preset
    assert load(tmp_path / "preset").classes == NAMES


def test_configs_without_class_names():
    segmenter = gss_keras.GenerativeSegmenter(tiny_prior())
    config = segmenter.get_config()
    assert "classes" not in config["prior"]["config"]["posterior"]["config"]
    twin = gss_keras.GenerativeSegmenter.from_config(config)
    assert twin.classes is None


@pytest.mark.parametrize("classes", [NAMES[:4], "roads", [0, 1, 2, 3, 4]])
def test_malformed_class_names_are_errors(classes):
    with pytest.raises(ValueError, match="`classes` must be one name for each"):
        tiny_posterior(classes=classes)


def test_class_names_of_the_bundled_segmenter():
    segmenter = gss_keras.GenerativeSegmenter.from_preset("camvid")
    assert segmenter.classes == catalog.card("camvid").classes
