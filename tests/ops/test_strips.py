"""Strips of maps against maps as a whole."""

import keras
import numpy as np
import pytest
from keras import ops

from gss_keras.ops.kernels import convolve
from gss_keras.ops.strips import in_strips, rows_of_strip


def compiled(function):
    """Return the function as the backend runs it in `predict`."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        open_shape = tf.TensorSpec((None, None, None, 2), "float32")
        return tf.function(function, input_signature=[open_shape])
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    return function


def maps_of(height, width=4, batch=2):
    generator = np.random.default_rng(height)
    shape = batch, height, width, 2
    return ops.convert_to_tensor(generator.normal(size=shape), "float32")


def blur(maps):
    """Two convolutions with zero padding, whose results reach two rows."""
    kernel = np.random.default_rng(0).normal(size=(3, 3, 2, 2))
    kernel = ops.convert_to_tensor(kernel, "float32")
    return convolve(ops.relu(convolve(maps, kernel)), kernel)


@pytest.mark.parametrize("height", [1, 2, 5, 11, 24])
@pytest.mark.parametrize("way", [lambda function: function, compiled])
def test_borders_of_strips_leave_no_trace(height, way):
    maps = maps_of(height)
    whole = ops.convert_to_numpy(blur(maps))
    for rows in (1, 2, 5):
        call = way(lambda maps, rows=rows: in_strips(blur, maps, rows, halo=2))
        found = ops.convert_to_numpy(call(maps))
        np.testing.assert_allclose(found, whole, atol=1e-5, err_msg=rows)


@pytest.mark.parametrize("way", [lambda function: function, compiled])
def test_results_may_have_more_or_fewer_rows(way):
    maps = maps_of(18)

    def halve(maps):
        return ops.max(maps, axis=-1)[:, ::2]

    def draw_up(maps):
        return ops.repeat(maps, 3, axis=1)

    call = way(lambda maps: in_strips(halve, maps, rows=2, read=2))
    np.testing.assert_array_equal(
        ops.convert_to_numpy(call(maps)), ops.convert_to_numpy(halve(maps))
    )
    call = way(lambda maps: in_strips(draw_up, maps, rows=4, written=3))
    np.testing.assert_array_equal(
        ops.convert_to_numpy(call(maps)), ops.convert_to_numpy(draw_up(maps))
    )


def test_no_strip_sees_much_more_than_its_rows():
    seen = []

    def look(maps):
        seen.append(maps.shape[1])
        return maps

    in_strips(look, maps_of(23), rows=6, halo=1)
    if keras.backend.backend() == "jax":
        # All strips are of one size, and traced once.
        assert set(seen) == {10}
    else:
        assert seen == [10, 10, 10]
    seen.clear()
    in_strips(look, maps_of(11), rows=6, halo=1)
    assert seen == [11]


def test_narrow_maps_have_longer_strips():
    assert rows_of_strip(2**16) == 256
    assert rows_of_strip(2**20) == rows_of_strip(2**30) == 32
