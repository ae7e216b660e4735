"""FLOPs of a model, against FLOPs counted by hand."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from tiny import tiny_prior

import gss_keras
from gss_keras.layers import vocabulary
from gss_keras.ops import strips
from gss_keras.ops.backend import sequential_scan
from gss_keras.ops.flops import count_flops


@pytest.mark.parametrize(
    "layer, shape, flops",
    [
        (layers.Dense(5), (2, 7, 3), 2 * 14 * 3 * 5),
        (layers.Conv2D(4, 3), (1, 8, 9, 3), 2 * 6 * 7 * 4 * 9 * 3),
        (
            layers.Conv2D(4, 3, strides=2, padding="same", groups=2),
            (2, 8, 9, 6),
            2 * 2 * 4 * 5 * 4 * 9 * 3,
        ),
        (
            layers.MultiHeadAttention(2, 3),
            None,
            # Query, key, value and output projections, scores, weighted sum.
            2 * (4 * 10 * 8 * 6 + 2 * 2 * 10 * 10 * 3),
        ),
    ],
)
def test_flops_of_layers_match_counts_by_hand(layer, shape, flops):
    if shape is None:
        layer.build((1, 10, 8), (1, 10, 8))
        found = count_flops(lambda x: layer(x, x), (1, 10, 8))
    else:
        layer.build(shape)
        found = count_flops(layer, shape)
    assert found == flops


def test_transposed_matrices():
    def product(x):
        return ops.matmul(ops.transpose(x), x)

    assert count_flops(product, (3, 5)) == 2 * 5 * 3 * 5


def test_flops_of_a_segmenter_grow_with_the_photo():
    segmenter = gss_keras.GenerativeSegmenter(tiny_prior())
    small, large = (
        count_flops(lambda x: segmenter(x), (1, side, side, 3))
        for side in (32, 64)
    )
    # Four times the pixels; small feature maps are padded to whole windows.
    assert 2 * small < large < 5 * small


@pytest.mark.parametrize(
    "sides, positions",
    [
        ((5, 7), 2 * 5 * 7),  # ten chunks of seven
        ((1, 11), 3 * 8),  # the last chunk overlaps by two positions
    ],
)
def test_loop_bodies_count_once_per_iteration(monkeypatch, sides, positions):
    monkeypatch.setattr(vocabulary, "_MAX_LOGITS", 8 * 40)
    layer = vocabulary.Vocabulary(40)
    layer.build((None, None, None, 6))
    found = count_flops(layer.best_tokens, (2, *sides, 6))
    assert found == 2 * positions * 6 * 40
    tokens = np.zeros((2, *sides), "int32")

    def loss(features):
        weights = ops.ones(tokens.shape)
        return layer.cross_entropy(features, tokens, weights)[0]

    # Logits, and the gradients of features and kernel.
    found = count_flops(loss, (2, *sides, 6))
    assert found == 3 * 2 * positions * 6 * 40


def test_nested_loops_and_strips():
    layer = layers.Conv2D(4, 3, padding="same")
    layer.build((None, None, None, 3))

    def in_strips(maps):
        return strips.map_strips(layer, maps, rows=4, halo=1)

    def repeated(maps):
        def step(index, carry):
            total = ops.sum(in_strips(maps))
            return carry, (total + ops.cast(index, "float32"),)

        return sequential_scan(5, step, ())[1]

    # Three strips of four rows with a halo of one row on each side.
    once = 2 * (3 * 6) * 9 * 4 * 9 * 3
    assert count_flops(in_strips, (1, 12, 9, 3)) == once
    assert count_flops(repeated, (1, 12, 9, 3)) == 5 * once


def test_a_trip_count_known_only_at_run_time_is_an_error():
    if keras.backend.backend() == "torch":
        pytest.skip("PyTorch runs loops in Python")

    def function(matrix):
        def square(matrix):
            return (ops.matmul(matrix, matrix),)

        return ops.while_loop(lambda m: ops.sum(m) < 9.0, square, (matrix,))

    with pytest.raises(ValueError, match="only known at run time"):
        count_flops(function, (3, 3))
