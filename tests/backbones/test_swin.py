import keras
import numpy as np
import pytest
from backbone_checks import (
    IDENTITY,
    check_backbone,
    check_golden,
    check_sizes,
    count_trained,
    read_golden,
    run,
)
from layer_checks import check_layer

from gss_keras.backbones import SwinTransformer
from gss_keras.backbones.swin import PatchMerging
from weights_conversion.backbones import convert_swin

SMALL = {"width": 8, "depths": (2, 1, 1, 1), "heads": (1, 2, 2, 4), "window": 3}


@pytest.fixture(scope="module")
def small():
    return SwinTransformer(**SMALL)


def draw(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, "uint8")


@pytest.mark.parametrize("name", ["swin_w7", "swin_w12"])
def test_equals_the_official_module(golden, name):
    weights, inputs, outputs = read_golden(golden / f"{name}.npz")
    backbone = convert_swin(weights, **IDENTITY)
    assert backbone.get_config()["window"] == int(name.removeprefix("swin_w"))
    check_golden(backbone, inputs, outputs)


def test_is_a_layer(tmp_path):
    # Low enough that no branch is dropped for all photos of the one step.
    check_backbone(SwinTransformer, {**SMALL, "drop_path": 0.02}, tmp_path)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (31, 64), (40, 23)])
def test_any_size(small, height, width):
    check_sizes(small, height, width)


def test_second_size_in_predict(small):
    for height, width in ((32, 32), (33, 47)):
        features = small.predict_on_batch(draw(1, height, width, 3))
        size = (-(-height // 8), -(-width // 8))
        assert features[8].shape == (1, *size, 16)


def test_photos_are_normalized_inside(small):
    layer = small.get_layer("normalisation")
    photos = draw(1, 8, 8, 3)
    # The statistics of ImageNet in torchvision, times 255.
    mean = np.array([0.485, 0.456, 0.406]) * 255
    deviation = np.array([0.229, 0.224, 0.225]) * 255
    received = keras.ops.convert_to_numpy(layer(photos.astype("float32")))
    np.testing.assert_allclose(received, (photos - mean) / deviation, atol=1e-5)


def test_padding_comes_after_the_normalisation(small):
    photos = draw(1, 30, 32, 3).astype("float32")
    mean = np.array([123.675, 116.28, 103.53], "float32")
    padded = np.concatenate([photos, np.tile(mean, (1, 2, 32, 1))], axis=1)
    expected = run(small, padded)
    for stride, map_ in run(small, photos).items():
        np.testing.assert_allclose(map_, expected[stride], atol=1e-4)


def test_depth_is_stochastic_in_training():
    backbone = SwinTransformer(**SMALL, drop_path=0.5)
    rates = [
        layer.drop_path for layer in backbone.layers if "block" in layer.name
    ]
    np.testing.assert_allclose(rates, [0.0, 0.125, 0.25, 0.375, 0.5])
    # Equal photos, so that only chance can tell them apart.
    photos = draw(1, 32, 32, 3).repeat(8, axis=0).astype("float32")
    quiet, lively = (
        keras.ops.convert_to_numpy(backbone(photos, training=training)[32])
        for training in (False, True)
    )
    np.testing.assert_allclose(quiet, quiet[:1].repeat(8, axis=0), atol=1e-4)
    assert len(np.unique(lively[:, 0, 0, 0].round(3))) > 2


def test_patch_merging(tmp_path):
    x = np.random.default_rng(0).normal(size=(2, 5, 6, 4)).astype("float32")
    check_layer(PatchMerging, {}, x, (2, 3, 3, 8), tmp_path)


def test_everything_is_built_at_once():
    # Else Keras on JAX runs a model operation by operation before it predicts.
    backbone = SwinTransformer(**SMALL)
    assert all(layer.built for layer in backbone._flatten_layers())


def test_frozen_trains_nothing():
    backbone = SwinTransformer(**SMALL, trainable=False)
    assert not backbone.trainable_variables
    assert backbone.get_config()["trainable"] is False


@pytest.mark.parametrize(
    ("size", "count"),
    [
        # 28,288,354 of the release, without its classifier and last norm, and
        # with a layer norm for every level.
        ("tiny", 27_520_698),
        pytest.param("large", 195_201_204, marks=pytest.mark.slow),
    ],
)
def test_parameters_of_the_original_sizes(size, count):
    backbone = SwinTransformer.of_size(size)
    assert count_trained(backbone) == count


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depths": (2, 2)}, "`depths` must be a list of 4 positive integers"),
        ({"heads": 3}, "`heads` must be a list of 4 positive integers"),
        ({"window": 0}, "`window` must be a positive integer.*window=0"),
        ({"drop_path": 1.0}, "`drop_path` must be at least 0 and below 1"),
        ({"width": 10}, "`channels` must be a multiple of `heads`"),
        ({"pixel_mean": (1.0, 2.0)}, "`pixel_mean` must be three numbers"),
        ({"pixel_deviation": (1.0, 0.0, 1.0)}, "must be positive"),
    ],
)
def test_a_bad_argument_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SwinTransformer(**arguments)


def test_an_unknown_size_is_refused():
    with pytest.raises(ValueError, match="`size` must be one of .*'huge'"):
        SwinTransformer.of_size("huge")
