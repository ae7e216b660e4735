"""What each backend computes in one go, against NumPy and Keras."""

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
    gelu,
    normalize_batch,
    project,
    cross_entropy,
)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def softmax(scores):
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 4, 5), (2, 0, 5)])
@pytest.mark.parametrize("has_bias", [True, False])
def test_project_multiplies_and_adds(shape, has_bias):
    features, kernel, bias = noise(*shape), noise(5, 6), noise(6)
    found = project(
        ops.convert_to_tensor(features),
        ops.convert_to_tensor(kernel),
        ops.convert_to_tensor(bias) if has_bias else None,
    )
    expected = features @ kernel + bias * has_bias
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, atol=1e-5)


def test_dense_in_every_way_a_layer_is_run(tmp_path):
    check_layer(
        Dense, {"units": 6, "activation": "relu"},
        noise(2, 4, 3, 5), (2, 4, 3, 6), tmp_path,
    )  # fmt: skip


def test_dense_still_quantizes():
    layer, features = Dense(6), ops.convert_to_tensor(noise(2, 3, 5))
    expected = ops.convert_to_numpy(layer(features))
    layer.quantize("int8")
    found = ops.convert_to_numpy(layer(features))
    assert 0 < np.abs(found - expected).max() < 0.1


# Windows may have biases of their own, as those do that a shift has cut.
@pytest.mark.parametrize("bias_shape", [(2, 7, 6), (3, 1, 7, 6), (3, 2, 7, 6)])
@pytest.mark.parametrize("learns", [False, True])
def test_attend_mixes_values_by_their_scores(bias_shape, learns):
    query, bias = noise(4, 3, 2, 7, 5), noise(*bias_shape, seed=1)
    key, value = noise(4, 3, 2, 6, 5, seed=2), noise(4, 3, 2, 6, 5, seed=3)
    scores = query @ key.swapaxes(-1, -2) / math.sqrt(5) + bias
    expected = softmax(scores) @ value
    tensors = [ops.convert_to_tensor(x) for x in (query, key, value, bias)]
    if keras.backend.backend() == "torch":
        for tensor in tensors:
            tensor.requires_grad = learns
    found = ops.stop_gradient(attention(*tensors))
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, atol=1e-5)


def test_gelu_is_exact():
    numbers = np.linspace(-9, 9, 301).astype("float32")
    expected = [x * (1 + math.erf(x / math.sqrt(2))) / 2 for x in numbers]
    found = ops.convert_to_numpy(gelu(ops.convert_to_tensor(numbers)))
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("classes", [6, 20])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_surprise_is_what_a_label_costs(scale, classes):
    logits = scale * noise(2, 3, 4, classes)
    labels = np.random.default_rng(1).integers(0, classes, (2, 3, 4))
    lowered = logits - logits.max(-1, keepdims=True)
    total = np.log(np.exp(lowered.astype("float64")).sum(-1))
    true = np.take_along_axis(lowered, labels[..., None], -1)[..., 0]
    found = cross_entropy(labels, logits)
    np.testing.assert_allclose(
        ops.convert_to_numpy(found), total - true, rtol=1e-5, atol=1e-5
    )


def fitted(norm_class, features, **arguments):
    """Let a batch norm between two layers learn; return what came of it."""
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
def test_batch_norms_learn_what_keras_own_do(shape):
    features = 3 + noise(*shape)
    weights, outputs = fitted(BatchNormalization, features)
    others, expected = fitted(keras.layers.BatchNormalization, features)
    for found, other in zip(weights, others, strict=True):
        np.testing.assert_allclose(found, other, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(outputs, expected, rtol=1e-3, atol=1e-4)


def test_what_is_normalized_has_no_mean_and_a_variance_of_one():
    features = ops.convert_to_tensor(5 + 2 * noise(3, 4, 5, 6))
    ones, zeros = ops.ones((6,)), ops.zeros((6,))
    found = normalize_batch(features, ones, zeros, 1e-9)
    if keras.backend.backend() == "jax":
        assert found is None
        return
    outputs, mean, variance = map(ops.convert_to_numpy, found)
    flat = ops.convert_to_numpy(features).reshape(-1, 6)
    np.testing.assert_allclose(mean, flat.mean(0), rtol=1e-5)
    np.testing.assert_allclose(variance, flat.var(0), rtol=1e-4)
    np.testing.assert_allclose(outputs.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(outputs.var((0, 1, 2)), 1, rtol=1e-4)
