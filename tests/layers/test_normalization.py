"""Batch norms within convolutions against the two, one after the other."""

import keras
import numpy as np
import pytest
from keras import ops

from gss_keras.backbones import EfficientNetLite
from gss_keras.layers.conv_norm import ConvNorm, ProjectionBlock
from gss_keras.layers.convolution import Conv2D
from gss_keras.layers.depthwise import DepthwiseConv2D
from gss_keras.layers.normalization import BatchNormalization
from gss_keras.ops.private import flatten_layers

CONVOLUTIONS = {
    "plain": lambda: Conv2D(6, 3, padding="same", use_bias=False),
    "one by one": lambda: Conv2D(6, 1, use_bias=False),
    "strided": lambda: Conv2D(6, 3, 2, padding="same", use_bias=False),
    "in groups": lambda: Conv2D(6, 1, groups=2, use_bias=False),
    "depthwise": lambda: DepthwiseConv2D(3, padding="same", use_bias=False),
    "depthwise, of more filters": lambda: DepthwiseConv2D(
        3, padding="same", depth_multiplier=2, use_bias=False
    ),
}


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def unsettle(layer, seed=0):
    """Give a layer's weights values that no two channels share."""
    generator = np.random.default_rng(seed)
    layer.set_weights(
        [generator.uniform(0.2, 2.0, w.shape) for w in layer.get_weights()]
    )


def build_pair(name, **arguments):
    convolution = CONVOLUTIONS[name]()
    convolution.build((None, None, None, 4))
    norm = BatchNormalization(**arguments)
    norm.build(convolution.compute_output_shape((None, 9, 7, 4)))
    unsettle(convolution)
    unsettle(norm)
    return convolution, norm


@pytest.mark.parametrize("training", [None, False, True])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_norm_within_a_convolution_does_what_it_does_after_it(name, training):
    features = ops.convert_to_tensor(noise(2, 9, 7, 4))
    convolution, norm = build_pair(name)
    other = BatchNormalization.from_config(norm.get_config())
    other.build(convolution.compute_output_shape((None, 9, 7, 4)))
    other.set_weights(norm.get_weights())
    found = convolution(features, norm=norm, training=training)
    expected = other(convolution(features), training=training)
    np.testing.assert_allclose(
        ops.convert_to_numpy(found), ops.convert_to_numpy(expected), atol=2e-5
    )
    for one, same in zip(norm.weights, other.weights, strict=True):
        np.testing.assert_allclose(
            ops.convert_to_numpy(one), ops.convert_to_numpy(same), rtol=1e-5
        )


def test_a_frozen_norm_is_within_in_training_too():
    features = ops.convert_to_tensor(noise(2, 9, 7, 4))
    convolution, norm = build_pair("plain")
    norm.trainable = False
    expected = norm(convolution(features), training=True)
    norm.call = None  # nobody may ask it
    found = convolution(features, norm=norm, training=True)
    np.testing.assert_allclose(
        ops.convert_to_numpy(found), ops.convert_to_numpy(expected), atol=2e-5
    )


@pytest.mark.parametrize("arguments", [{"scale": False}, {"center": False}])
def test_norms_without_a_factor_or_an_addend(arguments):
    features = ops.convert_to_tensor(noise(2, 9, 7, 4))
    convolution, norm = build_pair("plain", **arguments)
    np.testing.assert_allclose(
        ops.convert_to_numpy(convolution(features, norm=norm)),
        ops.convert_to_numpy(norm(convolution(features))),
        atol=2e-5,
    )


def test_the_statistics_of_half_precision_stay_single():
    norm = BatchNormalization(epsilon=1e-12, dtype="float16")
    norm.build((None, 2))
    # Zero in half precision, whose least number is 6e-8.
    norm.moving_variance.assign([1e-10, 1e-8])
    kernel = ops.convert_to_tensor(np.full((1, 2), 1e-4, "float16"))
    folded, shift = norm.fold(kernel)
    assert keras.backend.standardize_dtype(folded.dtype) == "float16"
    assert keras.backend.standardize_dtype(shift.dtype) == "float32"
    np.testing.assert_allclose(
        ops.convert_to_numpy(folded), [[9.95, 1.0]], rtol=1e-2
    )


@pytest.mark.parametrize("layer_class", [ConvNorm, ProjectionBlock])
def test_blocks_ask_their_norm_only_while_it_learns(layer_class):
    arguments = (6, 3) if layer_class is ConvNorm else (6,)
    layer = layer_class(*arguments)
    features = ops.convert_to_tensor(noise(1, 5, 4, 4))
    layer(features)
    unsettle(layer)
    layer.norm.trainable = False
    frozen = layer(features, training=True)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(frozen), ops.convert_to_numpy(layer(features))
    )
    layer.norm.trainable = True
    learning = layer(features, training=True)
    assert np.abs(ops.convert_to_numpy(learning - frozen)).max() > 0.1


def unfolded(call):
    def call_both(self, inputs, norm, training=None):
        return norm(call(self, inputs), training=training)

    return call_both


def test_backbones_compute_all_norms_within(monkeypatch):
    backbone = EfficientNetLite(width=0.25, depth=0.25)
    photos = ops.convert_to_tensor(10 * noise(1, 33, 35, 3))
    for index, layer in enumerate(flatten_layers(backbone)):
        if isinstance(layer, BatchNormalization):
            unsettle(layer, index)
    with monkeypatch.context() as patch:
        # Convolution and batch norm one after the other.
        for layer_class in (Conv2D, DepthwiseConv2D):
            call = layer_class.call
            patch.setattr(layer_class, "call", unfolded(call))
        expected = backbone(photos, training=False)
    with monkeypatch.context() as patch:
        patch.setattr(BatchNormalization, "call", None)
        found = backbone(photos, training=False)
    for stride in expected:
        wanted = ops.convert_to_numpy(expected[stride])
        np.testing.assert_allclose(
            ops.convert_to_numpy(found[stride]),
            wanted,
            atol=1e-4 * np.abs(wanted).max(),
        )
