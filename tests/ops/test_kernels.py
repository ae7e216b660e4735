"""Kernels of each backend against NumPy and Keras."""

import math

import keras
import numpy as np
import pytest
from keras import ops
from layer_checks import check_layer

from gss_keras.layers.dense import Dense
from gss_keras.layers.normalization import BatchNormalization
from gss_keras.ops.kernels import (
    attention,
    batch_norm,
    cross_entropy,
    gelu,
    project,
)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def softmax(scores):
    exponentials = np.exp(scores - scores.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 4, 5), (2, 0, 5)])
@pytest.mark.parametrize("has_bias", [True, False])
def test_project_equals_a_matrix_product(shape, has_bias):
    features, kernel, bias = noise(*shape), noise(5, 6), noise(6)
    found = project(
        ops.convert_to_tensor(features),
        ops.convert_to_tensor(kernel),
        ops.convert_to_tensor(bias) if has_bias else None,
    )
    expected = features @ kernel + bias * has_bias
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, atol=1e-5)


def test_dense_as_a_layer(tmp_path):
    check_layer(
        Dense, {"units": 6, "activation": "relu"},
        noise(2, 4, 3, 5), (2, 4, 3, 6), tmp_path,
    )  # fmt: skip


def test_dense_can_be_quantized():
    layer, features = Dense(6), ops.convert_to_tensor(noise(2, 3, 5))
    expected = ops.convert_to_numpy(layer(features))
    layer.quantize("int8")
    found = ops.convert_to_numpy(layer(features))
    assert 0 < np.abs(found - expected).max() < 0.1


# Shifted windows have a different bias per window, which includes the mask.
@pytest.mark.parametrize("bias_shape", [(2, 7, 6), (3, 1, 7, 6), (3, 2, 7, 6)])
@pytest.mark.parametrize("requires_grad", [False, True])
def test_attention_equals_the_formula(bias_shape, requires_grad):
    query, bias = noise(4, 3, 2, 7, 5), noise(*bias_shape, seed=1)
    key, value = noise(4, 3, 2, 6, 5, seed=2), noise(4, 3, 2, 6, 5, seed=3)
    scores = query @ key.swapaxes(-1, -2) / math.sqrt(5) + bias
    expected = softmax(scores) @ value
    tensors = [ops.convert_to_tensor(x) for x in (query, key, value, bias)]
    if keras.backend.backend() == "torch":
        for tensor in tensors:
            tensor.requires_grad = requires_grad
    found = ops.stop_gradient(attention(*tensors))
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, atol=1e-5)


def test_gelu_is_exact():
    inputs = np.linspace(-9, 9, 301).astype("float32")
    expected = [x * (1 + math.erf(x / math.sqrt(2))) / 2 for x in inputs]
    found = ops.convert_to_numpy(gelu(ops.convert_to_tensor(inputs)))
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("classes", [6, 20])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_cross_entropy_equals_the_formula(scale, classes):
    logits = scale * noise(2, 3, 4, classes)
    labels = np.random.default_rng(1).integers(0, classes, (2, 3, 4))
    shifted = logits - logits.max(-1, keepdims=True)
    log_sum = np.log(np.exp(shifted.astype("float64")).sum(-1))
    true = np.take_along_axis(shifted, labels[..., None], -1)[..., 0]
    found = cross_entropy(labels, logits)
    np.testing.assert_allclose(
        ops.convert_to_numpy(found), log_sum - true, rtol=1e-5, atol=1e-5
    )


def fitted(norm_class, features, **arguments):
    """Train a batch norm between two layers; return weights and outputs."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.layers.Conv2D(4, 1, name="before"),
            norm_class(momentum=0.9, epsilon=1e-3, name="norm", **arguments),
            keras.layers.Conv2D(2, 1, name="after"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    targets = noise(*features.shape[:-1], 2, seed=1)
    model.fit(
        features, targets, batch_size=len(features), epochs=3, verbose=0,
        shuffle=False,
    )  # fmt: skip
    return model.get_weights(), model.predict(features, verbose=0)


@pytest.mark.parametrize("shape", [(2, 5, 4, 3), (1, 1, 1, 3)])
def test_batch_normalization_is_trained_like_keras(shape):
    features = 3 + noise(*shape)
    weights, outputs = fitted(BatchNormalization, features)
    others, expected = fitted(keras.layers.BatchNormalization, features)
    for found, other in zip(weights, others, strict=True):
        np.testing.assert_allclose(found, other, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(outputs, expected, rtol=1e-3, atol=1e-4)


def test_batch_norm_outputs_and_batch_statistics():
    features = ops.convert_to_tensor(5 + 2 * noise(3, 4, 5, 6))
    ones, zeros = ops.ones((6,)), ops.zeros((6,))
    found = batch_norm(features, ones, zeros, 1e-9)
    if keras.backend.backend() == "jax":
        assert found is None
        return
    outputs, mean, variance = map(ops.convert_to_numpy, found)
    flat = ops.convert_to_numpy(features).reshape(-1, 6)
    np.testing.assert_allclose(mean, flat.mean(0), rtol=1e-5)
    np.testing.assert_allclose(variance, flat.var(0), rtol=1e-4)
    np.testing.assert_allclose(outputs.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(outputs.var((0, 1, 2)), 1, rtol=1e-4)
