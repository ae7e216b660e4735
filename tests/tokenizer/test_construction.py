import numpy as np
import pytest
from keras import ops

import gss_keras
from gss_keras.tokenizer.construction import build_tokenizer
from gss_keras.tokenizer.shape_codes import OWN, ShapeCodes, lattice_colors


@pytest.fixture(scope="module")
def codes():
    """Colors, edges upright and level, and a stroke two pixels wide."""
    upright = np.tile([0, 0, 0, 1], 4)
    level = np.repeat([2, 3, 3, 3], 4)
    return ShapeCodes(
        colors=lattice_colors((3, 3, 3)),
        outlines=np.stack([upright, level]),
        strokes=np.tile([0, OWN, OWN, 1], 4)[None],
        stroke_colors=lattice_colors((3, 3, 3)),
    )


@pytest.fixture(scope="module")
def tokenizer(codes):
    return build_tokenizer(codes)


@pytest.fixture(scope="module")
def bundled():
    return gss_keras.DiscreteVAE.from_preset("maskige")


def paint(codes, numbers):
    return codes.colors[np.array(numbers)][None].astype("float32")


def round_trip(tokenizer, maskige):
    tokens = ops.convert_to_numpy(tokenizer.encode(maskige))
    return tokens, ops.convert_to_numpy(tokenizer.decode(tokens))


def test_plain_colors_survive_exactly(codes, tokenizer):
    for number in range(len(codes.colors)):
        maskige = paint(codes, np.full((12, 12), number))
        tokens, decoded = round_trip(tokenizer, maskige)
        assert (tokens == number).all()
        np.testing.assert_allclose(decoded, maskige, atol=1e-3)


@pytest.mark.parametrize("is_upright", [True, False])
@pytest.mark.parametrize("pair", [(0, 5), (7, 2)])
def test_outlines_copy_neighbors(codes, tokenizer, is_upright, pair):
    numbers = np.full((12, 12), pair[0])
    if is_upright:
        numbers[:, 7:] = pair[1]
    else:
        numbers[5:] = pair[1]
    maskige = paint(codes, numbers)
    tokens, decoded = round_trip(tokenizer, maskige)
    assert tokens[0, 1, 1] == len(codes.colors) + (0 if is_upright else 1)
    np.testing.assert_allclose(decoded, maskige, atol=1e-3)


@pytest.mark.parametrize("number", [1, 8, 13])
def test_strokes_bring_their_color(codes, tokenizer, number):
    numbers = np.full((12, 12), 4)
    numbers[:, 5:7] = number
    maskige = paint(codes, numbers)
    tokens, decoded = round_trip(tokenizer, maskige)
    first = len(codes.colors) + len(codes.outlines)
    assert (tokens[0, :, 1] == first + number).all()
    np.testing.assert_allclose(decoded, maskige, atol=1e-3)


def test_bundled_tokenizer_is_compact(bundled):
    assert bundled.stride == 4
    assert bundled.codebook_size == 512
    assert bundled.count_params() < 2_000_000


@pytest.mark.parametrize("num_classes", [2, 8, 11, 19, 34, 100, 150])
def test_every_color_of_a_palette_survives(bundled, num_classes):
    palette = gss_keras.palettes.maximal_distance(num_classes, seed=1) / 255
    maskige = np.broadcast_to(
        palette[:, None, None], (num_classes, 12, 12, 3)
    ).astype("float32")
    decoded = ops.convert_to_numpy(bundled.decode(bundled.encode(maskige)))
    distances = ((decoded[..., None, :] - palette) ** 2).sum(-1)
    answers = distances.argmin(-1)
    expected = np.broadcast_to(
        np.arange(num_classes)[:, None, None], answers.shape
    )
    np.testing.assert_array_equal(answers, expected)


@pytest.mark.parametrize("seed", [0, 1])
def test_bundled_tokenizer_keeps_edges_and_poles(bundled, seed):
    """A pole three pixels wide, at every place relative to the squares."""
    palette = gss_keras.palettes.maximal_distance(11, seed) / 255
    right = 0
    for shift in range(8):
        masks = np.zeros((1, 32, 32), int)
        masks[:, 16:] = 1
        masks[:, :, 12 + shift : 15 + shift] = 2
        maskige = palette[masks].astype("float32")
        decoded = ops.convert_to_numpy(bundled.decode(bundled.encode(maskige)))
        answers = ((decoded[..., None, :] - palette) ** 2).sum(-1).argmin(-1)
        right += (answers == masks).mean() / 8
    assert right > 0.97
