"""Functions of feature maps in strips against whole feature maps."""

import keras
import numpy as np
import pytest
from keras import ops

from gss_keras.ops.kernels import convolve
from gss_keras.ops.strips import map_strips, strip_rows


def compiled(function):
    """Return the function, traced with dynamic sizes where possible."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        spec = tf.TensorSpec((None, None, None, 2), "float32")
        return tf.function(function, input_signature=[spec])
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    return function


def random_maps(height, width=4, batch=2):
    rng = np.random.default_rng(height)
    shape = batch, height, width, 2
    return ops.convert_to_tensor(rng.normal(size=shape), "float32")


def convolutions(maps):
    """Apply two convolutions with zero padding: receptive radius 2."""
    kernel = np.random.default_rng(0).normal(size=(3, 3, 2, 2))
    kernel = ops.convert_to_tensor(kernel, "float32")
    return convolve(ops.relu(convolve(maps, kernel)), kernel)


@pytest.mark.parametrize("height", [1, 2, 5, 11, 24])
@pytest.mark.parametrize("mode", [lambda function: function, compiled])
def test_results_are_equal_at_the_borders_of_strips(height, mode):
    maps = random_maps(height)
    whole = ops.convert_to_numpy(convolutions(maps))
    for rows in (1, 2, 5):
        function = mode(
            lambda maps, rows=rows: map_strips(convolutions, maps, rows, halo=2)
        )
        found = ops.convert_to_numpy(function(maps))
        np.testing.assert_allclose(found, whole, atol=1e-5, err_msg=rows)


@pytest.mark.parametrize("mode", [lambda function: function, compiled])
def test_downsampling_and_upsampling(mode):
    maps = random_maps(18)

    def downsample(maps):
        return ops.max(maps, axis=-1)[:, ::2]

    def upsample(maps):
        return ops.repeat(maps, 3, axis=1)

    function = mode(
        lambda maps: map_strips(downsample, maps, rows=2, input_factor=2)
    )
    np.testing.assert_array_equal(
        ops.convert_to_numpy(function(maps)),
        ops.convert_to_numpy(downsample(maps)),
    )
    function = mode(
        lambda maps: map_strips(upsample, maps, rows=4, output_factor=3)
    )
    np.testing.assert_array_equal(
        ops.convert_to_numpy(function(maps)),
        ops.convert_to_numpy(upsample(maps)),
    )


def test_sizes_of_strips():
    sizes = []

    def record(maps):
        sizes.append(maps.shape[1])
        return maps

    map_strips(record, random_maps(23), rows=6, halo=1)
    if keras.backend.backend() == "jax":
        # All strips have the same size, and the function is traced once.
        assert set(sizes) == {10}
    else:
        assert sizes == [10, 10, 10]
    sizes.clear()
    map_strips(record, random_maps(11), rows=6, halo=1)
    assert sizes == [11]


def test_number_of_rows_of_strips():
    assert strip_rows(2**16) == 256
    assert strip_rows(2**20) == strip_rows(2**30) == 32
