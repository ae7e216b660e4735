"""Canaries: what `ops.private` expects of Keras and of the backends."""

import inspect
import platform
import sys

import keras
import numpy as np
import pytest
from keras import ops

import gss_keras
from gss_keras.ops import private

MESSAGE = "Keras changed: see gss_keras/ops/private.py"


def test_keras_trainers_build_from_a_batch_by_the_overridden_method():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("only TensorFlow's trainer distributes the first batch")
    base = keras.Model._maybe_symbolic_build
    assert "data_batch" in inspect.signature(base).parameters, MESSAGE
    own = private.NoDistributedBuild._maybe_symbolic_build
    assert own is not base
    assert issubclass(gss_keras.LatentPrior, private.NoDistributedBuild)


def test_nested_layers_are_found():
    inner = keras.layers.Dense(2)
    block = keras.layers.Layer()
    block.inner = inner
    model = keras.Sequential([block])
    found = private.flatten_layers(model)
    assert {id(model), id(block), id(inner)} <= set(map(id, found)), MESSAGE


def test_without_the_private_part_layers_of_the_first_level_are_found():
    class Plain:
        layers = ("one", "two")

    plain = Plain()
    assert private.flatten_layers(plain) == [plain, "one", "two"]


@pytest.mark.parametrize("is_exempt", [True, False])
def test_weight_decay_skips_an_empty_list(is_exempt):
    optimizer = keras.optimizers.AdamW(0.0, weight_decay=0.5)
    if is_exempt:
        optimizer.exclude_from_weight_decay(var_names=["colors"])
    variable = keras.Variable(np.ones(2, "float32"), name="colors")
    optimizer.build([variable])
    private.skip_empty_weight_decay(optimizer, [variable])
    optimizer.apply([ops.zeros(2)], [variable])
    assert optimizer.weight_decay == 0.5
    np.testing.assert_allclose(ops.convert_to_numpy(variable), 1, atol=1e-6)


def test_exempt_variables_do_not_decay_and_others_do():
    optimizer = keras.optimizers.SGD(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["colors"])
    variables = [
        keras.Variable(np.ones(2, "float32"), name=name)
        for name in ("colors", "kernel")
    ]
    optimizer.build(variables)
    private.skip_empty_weight_decay(optimizer, variables)
    optimizer.apply([ops.zeros(2)] * 2, variables)
    colors, kernel = map(ops.convert_to_numpy, variables)
    assert (colors == 1).all() and (kernel < 1).all(), MESSAGE


def test_a_batch_normalization_takes_other_moments():
    layer = keras.layers.BatchNormalization(momentum=0.0, epsilon=0.0)
    inputs = np.array([[1.0], [3.0]], "float32")
    layer.build(inputs.shape)

    def twice_the_variance(own, inputs, mask):
        mean, variance = own(inputs, mask)
        return mean, 4 * variance

    private.replace_moments(layer, twice_the_variance)
    outputs = ops.convert_to_numpy(layer(inputs, training=True))
    np.testing.assert_allclose(outputs, [[-0.5], [0.5]], atol=1e-5)
    moving = ops.convert_to_numpy(layer.moving_variance)
    np.testing.assert_allclose(moving, [4.0], atol=1e-5)


def test_fit_applies_transformed_gradients():
    model = keras.Sequential([keras.layers.Dense(1, use_bias=False)])
    model.build((None, 2))
    optimizer = keras.optimizers.SGD(1.0)
    private.replace_apply(optimizer, lambda grads: [0 * g for g in grads])
    # Replaced once, however often a training is started.
    private.replace_apply(optimizer, lambda grads: [g + 1 for g in grads])
    model.compile(optimizer, "mse")
    before = model.get_weights()[0]
    model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], before, MESSAGE)


def test_freed_memory_is_kept_where_there_is_glibc():
    is_glibc = sys.platform == "linux" and platform.libc_ver()[0] == "glibc"
    is_needed = keras.backend.backend() == "tensorflow"
    assert private.keep_freed_memory() == (is_glibc and is_needed)
