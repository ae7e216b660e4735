"""The products of a model are counted as they are by hand."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from tiny import tiny_prior

import gss_keras
from gss_keras.layers import strips, vocabulary
from gss_keras.ops.backend import scan_in_turn
from gss_keras.ops.flops import count_products


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
            # Three projections to heads, one back, scores and their sums.
            2 * (4 * 10 * 8 * 6 + 2 * 2 * 10 * 10 * 3),
        ),
    ],
)
def test_layers_cost_what_they_do_by_hand(layer, shape, flops):
    if shape is None:
        layer.build((1, 10, 8), (1, 10, 8))
        found = count_products(lambda x: layer(x, x), (1, 10, 8))
    else:
        layer.build(shape)
        found = count_products(layer, shape)
    assert found == flops


def test_matrices_may_be_turned():
    def product(x):
        return ops.matmul(ops.transpose(x), x)

    assert count_products(product, (3, 5)) == 2 * 5 * 3 * 5


def test_a_segmenter_costs_more_for_a_larger_photo():
    segmenter = gss_keras.GenerativeSegmenter(tiny_prior())
    small, large = (
        count_products(lambda x: segmenter(x), (1, side, side, 3))
        for side in (32, 64)
    )
    # Four times the pixels; small maps are filled up to whole windows.
    assert 2 * small < large < 5 * small


@pytest.mark.parametrize(
    "sides, positions",
    [
        ((5, 7), 2 * 5 * 7),  # ten chunks of seven
        ((1, 11), 3 * 8),  # the last chunk takes two positions again
    ],
)
def test_loops_cost_all_their_turns(monkeypatch, sides, positions):
    monkeypatch.setattr(vocabulary, "_HELD", 8 * 40)
    layer = vocabulary.Vocabulary(40)
    layer.build((None, None, None, 6))
    found = count_products(layer.best_tokens, (2, *sides, 6))
    assert found == 2 * positions * 6 * 40
    tokens = np.zeros((2, *sides), "int32")

    def surprise(features):
        counted = ops.ones(tokens.shape)
        return layer.cross_entropy(features, tokens, counted)[0]

    # Scores, and the gradients of features and weights.
    found = count_products(surprise, (2, *sides, 6))
    assert found == 3 * 2 * positions * 6 * 40


def test_loops_in_loops_and_strips():
    layer = layers.Conv2D(4, 3, padding="same")
    layer.build((None, None, None, 3))

    def in_strips(maps):
        return strips.in_strips(layer, maps, rows=4, halo=1)

    def often(maps):
        def step(index, carry):
            total = ops.sum(in_strips(maps))
            return carry, (total + ops.cast(index, "float32"),)

        return scan_in_turn(5, step, ())[1]

    # Three strips of four rows with one more on each side.
    once = 2 * (3 * 6) * 9 * 4 * 9 * 3
    assert count_products(in_strips, (1, 12, 9, 3)) == once
    assert count_products(often, (1, 12, 9, 3)) == 5 * once


def test_loops_whose_turns_only_a_run_tells_are_refused():
    if keras.backend.backend() == "torch":
        pytest.skip("loops are Python's own there")

    def function(matrix):
        def double(matrix):
            return (ops.matmul(matrix, matrix),)

        return ops.while_loop(lambda m: ops.sum(m) < 9.0, double, (matrix,))

    with pytest.raises(ValueError, match="as often as a run tells"):
        count_products(function, (3, 3))
