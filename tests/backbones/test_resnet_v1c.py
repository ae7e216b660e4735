import weakref

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
)
from keras import ops
from layer_checks import check_layer
from tiny import tiny_posterior

import gss_keras
from gss_keras.backbones import ResNetV1c, as_backbone
from gss_keras.backbones.residual import BasicBlock, BottleneckBlock
from gss_keras.layers.conv_norm import ConvNorm
from weights_conversion.backbones import convert_resnet_v1c

SMALL = {"depth": 50, "stem_channels": 4, "base_channels": 2}
PLAIN = {"stage_strides": (1, 2, 2, 2), "dilations": (1, 1, 1, 1)}


@pytest.fixture(scope="module")
def dilated():
    return ResNetV1c(**SMALL)


@pytest.fixture(scope="module")
def plain():
    return ResNetV1c(**SMALL, **PLAIN)


def test_equals_the_official_module(golden):
    weights, inputs, outputs = read_golden(golden / "resnet50_v1c.npz")
    backbone = convert_resnet_v1c(weights, **IDENTITY)
    # In float32 the official module itself is off its result in float64 by
    # 2.5e-5, 7.9e-5 and 1.7e-4 in the last three levels.
    check_golden(backbone, inputs, outputs, (1e-4, 1e-4, 5e-4, 5e-4))


def test_is_a_layer(tmp_path):
    check_backbone(ResNetV1c, SMALL, tmp_path)


@pytest.mark.parametrize(
    ("block_class", "arguments", "size"),
    [
        (BasicBlock, {}, (2, 5, 6, 4)),
        (BottleneckBlock, {"channels": 1}, (2, 5, 6, 4)),
        (BottleneckBlock, {"channels": 2, "strides": 2}, (2, 3, 3, 8)),
        (BottleneckBlock, {"channels": 2, "dilation": 2}, (2, 5, 6, 8)),
    ],
)
def test_residual_blocks(tmp_path, block_class, arguments, size):
    x = np.random.default_rng(0).normal(size=(2, 5, 6, 4)).astype("float32")
    check_layer(block_class, arguments, x, size, tmp_path)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (31, 64), (40, 23)])
def test_any_size(dilated, plain, height, width):
    assert (dilated.strides[32], plain.strides[32]) == (8, 32)
    check_sizes(dilated, height, width)
    check_sizes(plain, height, width)


def test_feature_maps_are_freed_after_their_last_use(monkeypatch):
    # Frozen, so that none is kept for its gradients.
    backbone, maps, alive = ResNetV1c(**SMALL, trainable=False), [], []
    call = ConvNorm.call

    def spy(self, inputs, *args, **kwargs):
        result = call(self, inputs, *args, **kwargs)
        alive.append(sum(found() is not None for found in maps))
        maps.append(weakref.ref(result))
        return result

    monkeypatch.setattr(ConvNorm, "call", spy)
    levels = backbone(ops.zeros((1, 32, 32, 3)), training=False)
    assert len(levels) == 4 and len(maps) > 50
    # Those that a block reads, its shortcut, and levels that may be results
    # of a convolution themselves.
    assert max(alive) <= 8


def test_dilations_of_the_blocks(dilated):
    dilations = [
        [
            dilated.get_layer(f"stage_{stage}_block_{index}").dilation
            for index in range(2)
        ]
        for stage in range(4)
    ]
    assert dilations == [[1, 1], [1, 1], [1, 2], [2, 4]]
    full = ResNetV1c(**SMALL, has_contracted_dilation=False)
    assert full.get_layer("stage_3_block_0").conv_2.dilation == 4


def test_levels_of_equal_stride_fit_the_prior(dilated):
    assert as_backbone(dilated) is dilated
    prior = gss_keras.LatentPrior(
        dilated,
        tiny_posterior(),
        level_channels=4,
        channels=8,
        depth=1,
        heads=2,
        projection=8,
    )
    photos = keras.KerasTensor((1, 33, 40, 3))
    outputs = prior.compute_output_spec(photos)
    assert all(
        a in (None, b)
        for a, b in zip(outputs["features"].shape, (1, 9, 10, 8), strict=True)
    )


def test_freezing_keeps_the_statistics():
    backbone = ResNetV1c(**SMALL, trainable=False)
    assert not backbone.trainable_variables
    block = backbone.get_layer("stem_0")
    before = block.get_weights()
    block(np.ones((1, 32, 32, 3), "float32"), training=True)
    for a, b in zip(before, block.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_batch_norms_are_those_of_pytorch(dilated):
    norm = dilated.get_layer("stem_0").norm
    assert (norm.momentum, norm.epsilon) == (0.9, 1e-5)


def test_parameters_of_the_original():
    assert count_trained(ResNetV1c(101)) == 42_519_392


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 34}, r"`depth` must be one of \[50, 101, 152\].*depth=34"),
        ({"dilations": (1, 2)}, "`dilations` must be a list of 4 positive"),
        ({"stage_strides": (1, 2, 0, 1)}, "`stage_strides` must be a list"),
        ({"base_channels": -1}, "`base_channels` must be a positive integer"),
        ({"pixel_deviation": (0.0, 1.0, 1.0)}, "must be positive"),
    ],
)
def test_a_bad_argument_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ResNetV1c(**arguments)
