import numpy as np
import pytest
from keras import ops

import gss_keras
from gss_keras.tokenizer.construction import build_tokenizer
from gss_keras.tokenizer.shape_codes import OWN, ShapeCodes, lattice_colors


@pytest.fixture(scope="module")
def codes():
    """A codebook of colors, two outlines and a stroke two pixels wide."""
    vertical = np.tile([0, 0, 0, 1], 4)
    horizontal = np.repeat([2, 3, 3, 3], 4)
    return ShapeCodes(
        colors=lattice_colors((3, 3, 3)),
        outlines=np.stack([vertical, horizontal]),
        strokes=np.tile([0, OWN, OWN, 1], 4)[None],
        stroke_colors=lattice_colors((3, 3, 3)),
    )


@pytest.fixture(scope="module")
def tokenizer(codes):
    return build_tokenizer(codes)


@pytest.fixture(scope="module")
def bundled():
    return gss_keras.DiscreteVAE.from_preset("maskige")


def map_colors(codes, indices):
    return codes.colors[np.array(indices)][None].astype("float32")


def reconstruct(tokenizer, maskige):
    tokens = ops.convert_to_numpy(tokenizer.encode(maskige))
    return tokens, ops.convert_to_numpy(tokenizer.decode(tokens))


def test_uniform_patches_are_reconstructed_exactly(codes, tokenizer):
    for index in range(len(codes.colors)):
        maskige = map_colors(codes, np.full((12, 12), index))
        tokens, decoded = reconstruct(tokenizer, maskige)
        assert (tokens == index).all()
        np.testing.assert_allclose(decoded, maskige, atol=1e-3)


@pytest.mark.parametrize("is_vertical", [True, False])
@pytest.mark.parametrize("pair", [(0, 5), (7, 2)])
def test_outlines_copy_neighbors(codes, tokenizer, is_vertical, pair):
    indices = np.full((12, 12), pair[0])
    if is_vertical:
        indices[:, 7:] = pair[1]
    else:
        indices[5:] = pair[1]
    maskige = map_colors(codes, indices)
    tokens, decoded = reconstruct(tokenizer, maskige)
    assert tokens[0, 1, 1] == len(codes.colors) + (0 if is_vertical else 1)
    np.testing.assert_allclose(decoded, maskige, atol=1e-3)


@pytest.mark.parametrize("index", [1, 8, 13])
def test_strokes_have_a_color_of_their_own(codes, tokenizer, index):
    indices = np.full((12, 12), 4)
    indices[:, 5:7] = index
    maskige = map_colors(codes, indices)
    tokens, decoded = reconstruct(tokenizer, maskige)
    first = len(codes.colors) + len(codes.outlines)
    assert (tokens[0, :, 1] == first + index).all()
    np.testing.assert_allclose(decoded, maskige, atol=1e-3)


def test_size_of_the_bundled_tokenizer(bundled):
    assert bundled.stride == 4
    assert bundled.codebook_size == 512
    assert bundled.count_params() < 2_000_000


@pytest.mark.parametrize("num_classes", [2, 8, 11, 19, 34, 100, 150])
def test_all_classes_of_a_palette_are_reconstructed(bundled, num_classes):
    palette = gss_keras.palettes.maximal_distance(num_classes, seed=1) / 255
    maskige = np.broadcast_to(
        palette[:, None, None], (num_classes, 12, 12, 3)
    ).astype("float32")
    decoded = ops.convert_to_numpy(bundled.decode(bundled.encode(maskige)))
    distances = ((decoded[..., None, :] - palette) ** 2).sum(-1)
    masks = distances.argmin(-1)
    expected = np.broadcast_to(
        np.arange(num_classes)[:, None, None], masks.shape
    )
    np.testing.assert_array_equal(masks, expected)


@pytest.mark.parametrize("seed", [0, 1])
def test_bundled_tokenizer_reconstructs_edges_and_poles(bundled, seed):
    """A pole three pixels wide, at every position relative to the patches."""
    palette = gss_keras.palettes.maximal_distance(11, seed) / 255
    accuracy = 0
    for shift in range(8):
        masks = np.zeros((1, 32, 32), int)
        masks[:, 16:] = 1
        masks[:, :, 12 + shift : 15 + shift] = 2
        maskige = palette[masks].astype("float32")
        decoded = ops.convert_to_numpy(bundled.decode(bundled.encode(maskige)))
        distances = ((decoded[..., None, :] - palette) ** 2).sum(-1)
        accuracy += (distances.argmin(-1) == masks).mean() / 8
    assert accuracy > 0.97
