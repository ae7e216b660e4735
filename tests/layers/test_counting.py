"""The products of a model are counted as they are by hand."""

import pytest
from keras import layers, ops
from tiny import tiny_prior

import gss_keras
from gss_keras.layers.counting import count_products


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
