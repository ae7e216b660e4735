import keras
import numpy as np
import pytest
from keras import ops
from layer_checks import check_layer

from gss_keras.layers.conv_norm import (
    ConvNorm,
    ConvolutionBlock,
    ProjectionBlock,
)


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": 1},
        {"kernel_size": 3, "activation": None},
        {"kernel_size": 3, "padding": "same", "activation": "relu6"},
        {"kernel_size": 5, "is_depthwise": True, "padding": "same"},
        {"kernel_size": 3, "is_depthwise": True},
    ],
    ids=str,
)
def test_in_every_way_a_layer_is_run(tmp_path, arguments, strides):
    size = (2, -(-5 // strides), -(-6 // strides), 4)
    arguments = {"channels": 4, "strides": strides, **arguments}
    check_layer(ConvNorm, arguments, noise(2, 5, 6, 4), size, tmp_path)


def test_dilation_and_other_conventions(tmp_path):
    arguments = {
        "channels": 3,
        "kernel_size": 3,
        "dilation": 2,
        "momentum": 0.99,
        "epsilon": 1e-3,
        "kernel_initializer": "he_normal",
    }
    x = noise(2, 5, 6, 4)
    check_layer(ConvNorm, arguments, x, (2, 5, 6, 3), tmp_path)
    layer = ConvNorm(**arguments)
    assert (layer.norm.momentum, layer.norm.epsilon) == (0.99, 1e-3)
    assert layer.convolution.dilation_rate == (2, 2)


@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_padding_of_strided_convolutions(padding):
    layer = ConvNorm(1, 3, 2, activation=None, padding=padding)
    layer.build((None, None, None, 1))
    layer.convolution.kernel.assign(np.arange(9.0).reshape(3, 3, 1, 1))
    x = noise(1, 6, 6, 1)
    # TensorFlow needs one zero for six rows and puts it at the end.
    before = 1 if padding == "symmetric" else 0
    padded = np.pad(x[0, :, :, 0], (before, 1))
    expected = sum(
        (3 * row + column) * padded[row:, column:][:5:2, :5:2][:3, :3]
        for row in range(3)
        for column in range(3)
    )
    found = ops.convert_to_numpy(layer(x))[0, :, :, 0]
    np.testing.assert_allclose(
        found, expected / np.sqrt(1 + 1e-5), rtol=1e-4, atol=1e-4
    )


def test_dense_kernels_are_matrices_that_quantize():
    layer = ProjectionBlock(5)
    x = noise(2, 7, 5, 8)
    before = ops.convert_to_numpy(layer(x))
    assert layer.convolution.kernel.shape == (8, 5)
    layer.convolution.quantize("int8")
    after = ops.convert_to_numpy(layer(x))
    assert 0 < np.abs(after - before).max() < 0.1


@pytest.mark.parametrize(
    ("kind", "arguments", "config"),
    [
        (ProjectionBlock, (5,), ["channels"]),
        (
            ConvolutionBlock,
            (5, 3, 2, 1, True),
            ["channels", "kernel_size", "strides", "dilation", "is_linear"],
        ),
    ],
)
def test_configs_of_earlier_versions(kind, arguments, config):
    layer = kind(*arguments)
    saved = keras.saving.serialize_keras_object(layer)
    assert saved["registered_name"] == f"gss_keras>{type(layer).__name__}"
    assert set(saved["config"]) == {*config, "name", "trainable", "dtype"}
    loaded = keras.saving.deserialize_keras_object(saved)
    assert loaded.get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"padding": "valid"}, "`padding` must be 'symmetric' or 'same'"),
        ({"kernel_size": 3, "is_dense": True}, "`is_dense` is for 1x1"),
    ],
)
def test_a_bad_argument_raises(arguments, message):
    with pytest.raises(ValueError, match=message):
        ConvNorm(4, **arguments)


def test_a_depthwise_convolution_keeps_the_channels():
    with pytest.raises(ValueError, match="`channels` of a depthwise"):
        ConvNorm(5, 3, is_depthwise=True)(noise(1, 5, 6, 4))
