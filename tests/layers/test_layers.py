import keras
import numpy as np
import pytest
from keras import ops
from layer_checks import check_layer

from gss_keras.layers.conv_norm import ProjectionBlock
from gss_keras.layers.depthwise import DepthwiseConv2D
from gss_keras.layers.fusion import LevelFusion
from gss_keras.layers.vocabulary import Vocabulary
from gss_keras.layers.window_attention import SwinBlock, WindowAttention
from gss_keras.ops import backend


def random_features(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize(
    ("layer_class", "kwargs", "channels"),
    [
        (WindowAttention, {"channels": 8, "heads": 2, "window": 3}, 8),
        (
            WindowAttention,
            {"channels": 8, "heads": 2, "window": 4, "shift": 2},
            8,
        ),
        (
            SwinBlock,
            {
                "channels": 8,
                "heads": 4,
                "hidden": 12,
                "window": 3,
                "shift": 1,
                "drop_path": 0.1,
            },
            8,
        ),
        (ProjectionBlock, {"channels": 5}, 5),
        (Vocabulary, {"codebook_size": 11}, 11),
        (DepthwiseConv2D, {"kernel_size": 3, "padding": "same"}, 8),
    ],
)
def test_layers(layer_class, kwargs, channels, tmp_path):
    check_layer(
        layer_class,
        kwargs,
        random_features(2, 7, 5, 8),
        (2, 7, 5, channels),
        tmp_path,
    )


def test_level_fusion(tmp_path):
    check_layer(
        LevelFusion,
        {"level_channels": 4, "channels": 6},
        [random_features(2, 8, 9, 3), random_features(2, 4, 5, 5)],
        (2, 8, 9, 6),
        tmp_path,
    )


@pytest.mark.parametrize("size", [(9, 12), (1, 2), (8, 8)])
@pytest.mark.parametrize(
    "kwargs",
    [
        {"kernel_size": 3},
        {"kernel_size": (5, 3), "strides": 2, "activation": "relu"},
        {"kernel_size": 4, "strides": 3, "use_bias": False},
        {"kernel_size": 3, "dilation_rate": 2},
        {"kernel_size": 3, "depth_multiplier": 2},
        {"kernel_size": 3, "padding": "valid"},
    ],
)
def test_depthwise_convolution_equals_keras(kwargs, size):
    if "padding" in kwargs and min(size) < 3:
        pytest.skip("the kernel is larger than the feature map")
    kwargs = {"padding": "same", "bias_initializer": "ones", **kwargs}
    ours, theirs = (
        layer_class(**kwargs)
        for layer_class in (DepthwiseConv2D, keras.layers.DepthwiseConv2D)
    )
    features = random_features(2, *size, 6)
    expected = theirs(features)
    ours.build(features.shape)
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(
        *map(ops.convert_to_numpy, (ours(features), expected)), atol=1e-5
    )


def test_windows_are_independent():
    layer = WindowAttention(8, heads=2, window=4)
    features = random_features(1, 8, 8, 8)
    changed = features.copy()
    changed[:, :4, :4] += 1
    difference = np.abs(
        ops.convert_to_numpy(layer(features))
        - ops.convert_to_numpy(layer(changed))
    ).max(axis=(0, 3))
    assert difference[:4, :4].min() > 0
    difference[:4, :4] = 0
    assert difference.max() == 0


def test_shifted_windows_mask_opposite_borders():
    layer = WindowAttention(8, heads=2, window=4, shift=2)
    features = random_features(1, 8, 8, 8)
    changed = features.copy()
    changed[:, :2] += 1
    difference = np.abs(
        ops.convert_to_numpy(layer(features))
        - ops.convert_to_numpy(layer(changed))
    ).max(axis=(0, 2, 3))
    assert difference[:2].min() > 0
    assert difference[2:].max() < 1e-6


def test_malformed_arguments_are_errors():
    with pytest.raises(ValueError, match="`channels` must be a multiple"):
        WindowAttention(9, heads=2)
    with pytest.raises(ValueError, match="`shift` must be at least 0"):
        WindowAttention(8, heads=2, window=4, shift=4)


@pytest.mark.parametrize("size", [(6, 10), (3, 5), (7, 4)])
def test_resize_has_pixel_centers_at_half_integers(size):
    # A linear ramp stays linear, except at the clamped borders.
    ramp = np.arange(6.0, dtype="float32")[None, :, None, None] + 0.5
    ramp = np.repeat(ramp, 5, axis=2)
    resized = backend.resize_bilinear(ops.convert_to_tensor(ramp), *size)
    assert tuple(resized.shape) == (1, *size, 1)
    centers = (np.arange(size[0]) + 0.5) * 6 / size[0]
    np.testing.assert_allclose(
        ops.convert_to_numpy(resized)[0, :, 0, 0],
        np.clip(centers, 0.5, 5.5),
        atol=1e-5,
    )


@keras.saving.register_keras_serializable(package="tests")
class HalfSize(keras.layers.Layer):
    def call(self, x):
        shape = ops.shape(x)
        return backend.resize_bilinear(x, shape[1] // 2, shape[2] // 2)

    def compute_output_shape(self, shape):
        return (shape[0], None, None, shape[3])


def test_resize_to_dynamic_sizes():
    inputs = keras.Input((None, None, 2))
    model = keras.Model(inputs, HalfSize()(inputs))
    for height, width in [(8, 6), (10, 4)]:
        result = model.predict(random_features(1, height, width, 2), verbose=0)
        assert result.shape == (1, height // 2, width // 2, 2)


def test_argmax_returns_the_first_of_equal_entries():
    index = backend.argmax(ops.convert_to_tensor([[1.0, 3.0, 3.0, -0.0]]))
    assert keras.backend.standardize_dtype(index.dtype) == "int32"
    assert ops.convert_to_numpy(index).tolist() == [1]
