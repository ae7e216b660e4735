"""Inverse mappings applied in strips, against the whole maskige."""

import keras
import numpy as np
import pytest
from keras import ops

from gss_keras.maskige import (
    InverseMapping,
    LeastSquaresInverse,
    NearestColorInverse,
    palettes,
    reading,
)
from gss_keras.maskige.reading import MaskigeReader
from gss_keras.ops import strips

CLASSES = 7


def make_reader(
    scale, kind=NearestColorInverse, is_stretched=False, training=None
):
    palette = palettes.maximal_distance(CLASSES)
    colors = ops.convert_to_tensor(palette / 255, "float32")
    return MaskigeReader(
        kind(palette), colors, CLASSES, scale, is_stretched, training
    )


def random_maskige(height, width):
    shape = 2, height, width, 3
    maskige = np.random.default_rng(0).uniform(size=shape)
    return ops.convert_to_tensor(maskige, "float32")


def execution_modes(function):
    """Return the function, eager and traced with dynamic sizes."""
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
def test_strips_give_the_same_logits_and_masks(scale, kind, monkeypatch):
    maskige = random_maskige(11 * scale, 6 * scale)
    whole = make_reader(scale, kind).logits(maskige, 10, 5)
    whole = ops.convert_to_numpy(whole)
    assert whole.shape == (2, 10, 5, CLASSES)
    monkeypatch.setattr(reading, "_MANY_LOGITS", 0)
    monkeypatch.setattr(strips, "_MAX_ELEMENTS", 1)
    monkeypatch.setattr(strips, "_MIN_ROWS", 2)
    reader = make_reader(scale, kind)
    assert reader.uses_strips
    for read in execution_modes(lambda maskige: reader.logits(maskige, 10, 5)):
        found = ops.convert_to_numpy(read(maskige))
        np.testing.assert_allclose(found, whole, atol=1e-5)
    for read in execution_modes(lambda maskige: reader.masks(maskige, 10, 5)):
        masks = ops.convert_to_numpy(read(maskige))
        assert masks.dtype == "int32"
        np.testing.assert_array_equal(masks, whole.argmax(axis=-1))


def test_merged_pixels_are_averaged_votes(monkeypatch):
    monkeypatch.setattr(reading, "_MANY_LOGITS", 0)
    monkeypatch.setattr(strips, "_MIN_ROWS", 1)
    monkeypatch.setattr(strips, "_MAX_ELEMENTS", 1)
    classes = np.random.default_rng(0).integers(0, CLASSES, (1, 10, 8))
    colors = palettes.maximal_distance(CLASSES) / 255
    maskige = ops.convert_to_tensor(colors[classes], "float32")
    votes = np.eye(CLASSES)[classes].reshape(1, 5, 2, 4, 2, CLASSES)
    votes = votes.mean(axis=(2, 4))
    found = make_reader(scale=2).logits(maskige, 5, 4)
    np.testing.assert_allclose(ops.convert_to_numpy(found), votes)
    masks = make_reader(scale=2).masks(maskige, 5, 4)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(masks), votes.argmax(axis=-1)
    )


def test_logits_are_computed_one_strip_at_a_time(monkeypatch):
    monkeypatch.setattr(reading, "_MANY_LOGITS", 0)
    monkeypatch.setattr(strips, "_MIN_ROWS", 4)
    monkeypatch.setattr(strips, "_MAX_ELEMENTS", 1)
    reader, seen = make_reader(scale=2), []
    score = reader.inverse.score

    def spy(maskiges, colors):
        seen.append(maskiges.shape[1])
        return score(maskiges, colors)

    monkeypatch.setattr(reader.inverse, "score", spy)
    reader.masks(random_maskige(48, 4), 24, 2)
    assert set(seen) == {8}


@pytest.mark.parametrize(
    ("arguments", "uses_strips"),
    [
        ({}, True),
        ({"training": True}, False),
        ({"is_stretched": True}, False),
        ({"scale": 1}, False),
    ],
)
def test_conditions_for_strips(arguments, uses_strips, monkeypatch):
    # Above the limit with four pixels to merge, below it with one.
    monkeypatch.setattr(reading, "_MANY_LOGITS", 2 * CLASSES)
    reader = make_reader(**({"scale": 2} | arguments))
    assert reader.uses_strips == uses_strips
    masks = reader.masks(random_maskige(8, 4), 4, 2)
    logits = ops.convert_to_numpy(reader.logits(random_maskige(8, 4), 4, 2))
    assert logits.shape[1:] == ((4, 2, CLASSES))
    np.testing.assert_array_equal(
        ops.convert_to_numpy(masks), logits.argmax(axis=-1)
    )


class Darkness(InverseMapping):
    """A custom pointwise inverse: logits by brightness."""

    num_classes = CLASSES
    is_pointwise = True
    takes_colors = True
    has_votes = True

    def call(self, maskiges, colors):
        light = ops.mean(maskiges, axis=-1, keepdims=True)
        return -ops.abs(light - ops.mean(colors, axis=-1))


@pytest.mark.parametrize("has_votes", [True, False])
def test_a_custom_inverse(has_votes, monkeypatch):
    inverse = Darkness()
    inverse.has_votes = has_votes
    colors = ops.linspace(0.0, 1.0, CLASSES)[:, None] * ops.ones((1, 3))
    whole = MaskigeReader(inverse, colors, CLASSES, 2, False)
    assert not whole.uses_strips
    maskige = random_maskige(16, 8)
    logits = ops.convert_to_numpy(whole.logits(maskige, 8, 4))
    # Votes of four pixels are quarters and sum to one.
    is_votes = np.allclose(logits.sum(-1), 1) and np.allclose(logits % 0.25, 0)
    assert is_votes == has_votes
    monkeypatch.setattr(reading, "_MANY_LOGITS", 0)
    monkeypatch.setattr(strips, "_MAX_ELEMENTS", 1)
    monkeypatch.setattr(strips, "_MIN_ROWS", 2)
    reader = MaskigeReader(inverse, colors, CLASSES, 2, False)
    assert reader.uses_strips
    np.testing.assert_allclose(
        ops.convert_to_numpy(reader.logits(maskige, 8, 4)), logits, atol=1e-6
    )
    np.testing.assert_array_equal(
        ops.convert_to_numpy(reader.masks(maskige, 8, 4)), logits.argmax(-1)
    )


def test_a_plain_keras_layer_as_an_inverse():
    layer = keras.layers.Dense(CLASSES)
    reader = MaskigeReader(layer, None, CLASSES, 2, False)
    assert not reader.has_votes
    assert "colors" not in reader.arguments
    assert reader.masks(random_maskige(8, 4), 4, 2).shape == (2, 4, 2)
