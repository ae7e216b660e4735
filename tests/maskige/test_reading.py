"""Maskiges read in strips against maskiges read as a whole."""

import keras
import numpy as np
import pytest
from keras import ops

from gss_keras.maskige import (
    LeastSquaresInverse,
    NearestColorInverse,
    palettes,
    reading,
)
from gss_keras.maskige.reading import MaskigeReader
from gss_keras.ops import strips

CLASSES = 7


def reader_of(scale, kind=NearestColorInverse, is_stretched=False, **arguments):
    inverse = kind(palettes.maximal_distance(CLASSES))
    return MaskigeReader(inverse, CLASSES, scale, is_stretched, arguments)


def maskige_of(height, width):
    shape = 2, height, width, 3
    maskige = np.random.default_rng(0).uniform(size=shape)
    return ops.convert_to_tensor(maskige, "float32")


def ways_to_run(function):
    """Return the function, and as `predict` runs it at sizes met later."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        spec = tf.TensorSpec((None, None, None, 3), "float32")
        return function, tf.function(function, input_signature=[spec])
    if keras.backend.backend() == "jax":
        import jax

        return (jax.jit(function),)
    return (function,)


@pytest.mark.parametrize("scale", [1, 2, 3])
@pytest.mark.parametrize("kind", [NearestColorInverse, LeastSquaresInverse])
def test_strips_read_the_same(scale, kind, monkeypatch):
    maskige = maskige_of(11 * scale, 6 * scale)
    whole = reader_of(scale, kind).logits(maskige, 10, 5)
    whole = ops.convert_to_numpy(whole)
    assert whole.shape == (2, 10, 5, CLASSES)
    monkeypatch.setattr(reading, "_MANY", 0)
    monkeypatch.setattr(strips, "_HELD", 1)
    monkeypatch.setattr(strips, "_FEWEST", 2)
    reader = reader_of(scale, kind)
    assert reader.is_in_strips
    for read in ways_to_run(lambda maskige: reader.logits(maskige, 10, 5)):
        found = ops.convert_to_numpy(read(maskige))
        np.testing.assert_allclose(found, whole, atol=1e-5)
    for read in ways_to_run(lambda maskige: reader.masks(maskige, 10, 5)):
        masks = ops.convert_to_numpy(read(maskige))
        assert masks.dtype == "int32"
        np.testing.assert_array_equal(masks, whole.argmax(axis=-1))


def test_votes_are_counted(monkeypatch):
    monkeypatch.setattr(reading, "_MANY", 0)
    monkeypatch.setattr(strips, "_FEWEST", 1)
    monkeypatch.setattr(strips, "_HELD", 1)
    classes = np.random.default_rng(0).integers(0, CLASSES, (1, 10, 8))
    colors = palettes.maximal_distance(CLASSES) / 255
    maskige = ops.convert_to_tensor(colors[classes], "float32")
    votes = np.eye(CLASSES)[classes].reshape(1, 5, 2, 4, 2, CLASSES)
    votes = votes.mean(axis=(2, 4))
    found = reader_of(scale=2).logits(maskige, 5, 4)
    np.testing.assert_allclose(ops.convert_to_numpy(found), votes)
    masks = reader_of(scale=2).masks(maskige, 5, 4)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(masks), votes.argmax(axis=-1)
    )


def test_no_more_than_a_strip_is_scored_at_a_time(monkeypatch):
    monkeypatch.setattr(reading, "_MANY", 0)
    monkeypatch.setattr(strips, "_FEWEST", 4)
    monkeypatch.setattr(strips, "_HELD", 1)
    reader, seen = reader_of(scale=2), []
    score = reader.inverse.score

    def spy(maskiges, colors):
        seen.append(maskiges.shape[1])
        return score(maskiges, colors)

    monkeypatch.setattr(reader.inverse, "score", spy)
    reader.masks(maskige_of(48, 4), 24, 2)
    assert set(seen) == {8}


@pytest.mark.parametrize(
    ("arguments", "is_in_strips"),
    [
        ({}, True),
        ({"training": True}, False),
        ({"is_stretched": True}, False),
        ({"scale": 1}, False),
    ],
)
def test_what_is_read_in_strips(arguments, is_in_strips, monkeypatch):
    # Seven classes of four pixels each are many, those of one are not.
    monkeypatch.setattr(reading, "_MANY", 2 * CLASSES)
    reader = reader_of(**({"scale": 2} | arguments))
    assert reader.is_in_strips == is_in_strips
    masks = reader.masks(maskige_of(8, 4), 4, 2)
    logits = ops.convert_to_numpy(reader.logits(maskige_of(8, 4), 4, 2))
    assert logits.shape[1:] == ((4, 2, CLASSES))
    np.testing.assert_array_equal(
        ops.convert_to_numpy(masks), logits.argmax(axis=-1)
    )
