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

from gss_keras.backbones import HRNetV2
from gss_keras.backbones.hrnet import UpsampleTo
from gss_keras.ops.backend import resize_bilinear
from weights_conversion.backbones import convert_hrnet

SMALL = {
    "channels": (4, 6, 8, 10),
    "modules": (1, 1, 1),
    "blocks": 1,
    "first_channels": 2,
}


@pytest.fixture(scope="module")
def small():
    return HRNetV2(**SMALL)


def test_equals_the_official_module(golden):
    weights, inputs, outputs = read_golden(golden / "hrnet.npz")
    backbone = convert_hrnet(weights, **IDENTITY)
    check_golden(backbone, inputs, outputs)


def test_is_a_layer(tmp_path):
    check_backbone(HRNetV2, SMALL, tmp_path)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (31, 64), (40, 23)])
def test_any_size(small, height, width):
    check_sizes(small, height, width)


def test_upsampling_takes_two_steps_where_sizes_were_rounded():
    coarse = np.random.default_rng(0).normal(size=(1, 3, 4, 2))
    coarse = keras.ops.convert_to_tensor(coarse.astype("float32"))

    def upsample(height, width):
        fine = np.zeros((1, height, width, 5), "float32")
        return keras.ops.convert_to_numpy(UpsampleTo(2)(coarse, fine))

    once = resize_bilinear(coarse, 6, 8)
    twice = keras.ops.convert_to_numpy(resize_bilinear(once, 6, 7))
    np.testing.assert_array_equal(
        upsample(6, 8), keras.ops.convert_to_numpy(once)
    )
    np.testing.assert_allclose(upsample(6, 7), twice, atol=1e-6)
    direct = keras.ops.convert_to_numpy(resize_bilinear(coarse, 6, 7))
    assert np.abs(twice - direct).max() > 0.01


def count_parameters(width):
    """Adds up the paper's network, weights of convolutions and norms."""
    channels = [width * 2**index for index in range(4)]

    def conv(before, after, side=3):
        return side * side * before * after + 2 * after

    total = conv(3, 64) + conv(64, 64)
    total += conv(64, 256, 1)
    for before in (64, 256, 256, 256):
        total += conv(before, 64, 1) + conv(64, 64) + conv(64, 256, 1)
    total += conv(256, channels[0]) + conv(256, channels[1])
    total += conv(channels[1], channels[2]) + conv(channels[2], channels[3])
    for branches, modules in ((2, 1), (3, 4), (4, 3)):
        for to in range(branches):
            own = channels[to]
            total += modules * 8 * conv(own, own)
            for start in range(branches):
                other = channels[start]
                if start > to:
                    total += modules * conv(other, own, 1)
                if start < to:
                    total += modules * (to - start - 1) * conv(other, other)
                    total += modules * conv(other, own)
    return total


@pytest.mark.parametrize(
    "width", [pytest.param(w, marks=pytest.mark.slow) for w in (18, 32, 48)]
)
def test_parameters_of_the_original_sizes(width):
    backbone = HRNetV2.of_width(width)
    assert count_trained(backbone) == count_parameters(width)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": (1, 2, 3)}, "`channels` must be a list of 4 positive"),
        ({"modules": (1, 2, 3, 4)}, "`modules` must be a list of 3 positive"),
        ({"blocks": 0}, "`blocks` must be a positive integer.*blocks=0"),
        ({"pixel_mean": ()}, "`pixel_mean` must be three numbers"),
    ],
)
def test_a_bad_argument_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        HRNetV2(**arguments)


def test_a_bad_width_is_refused():
    with pytest.raises(ValueError, match="`width` must be a positive integer"):
        HRNetV2.of_width(0)
