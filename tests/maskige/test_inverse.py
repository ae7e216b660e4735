"""The inverse mappings X^-1: exact for every palette."""

import keras
import numpy as np
import pytest
from layer_checks import check_layer

from gss_keras.maskige import (
    IGNORE_LABEL,
    ConvInverse,
    LeastSquaresInverse,
    MaskigeMapping,
    NearestColorInverse,
    WindowInverse,
    inverse_from,
    palettes,
)

NAMED = ["cityscapes", "ade20k", "mseg", "camvid"]
PALETTES = {
    **{name: palettes.named(name) for name in NAMED},
    **{f"random {k}": palettes.random(k, k) for k in (1, 2, 19, 150, 255)},
    **{f"far {k}": palettes.maximal_distance(k) for k in (1, 2, 8, 11, 19)},
}


def to_masks(inverse, maskiges):
    logits = keras.ops.convert_to_numpy(inverse(maskiges))
    return logits.argmax(axis=-1)


@pytest.mark.parametrize("inverse", [NearestColorInverse, LeastSquaresInverse])
def test_analytic_inverses_as_layers(inverse, tmp_path):
    maskiges = np.random.default_rng(0).random((2, 4, 6, 3), "float32")
    check_layer(
        inverse,
        {"palette": "camvid", "sharpness": 3.0},
        maskiges,
        (2, 4, 6, 11),
        tmp_path,
    )


def test_window_inverse_as_a_layer(tmp_path):
    check_layer(
        WindowInverse,
        {"num_classes": 5, "channels": 8, "depth": 2, "heads": 2, "window": 3},
        np.random.default_rng(0).random((2, 7, 8, 3), "float32"),
        (2, 7, 8, 5),
        tmp_path,
    )


@pytest.mark.parametrize("start", [None, palettes.maximal_distance(5)])
def test_conv_inverse_as_a_layer(start, tmp_path):
    check_layer(
        ConvInverse,
        {"num_classes": 5, "channels": 8, "palette": start},
        np.random.default_rng(0).random((2, 7, 8, 3), "float32"),
        (2, 7, 8, 5),
        tmp_path,
    )


@pytest.mark.parametrize("num_classes", [1, 2, 3, 11, 150])
def test_least_squares_is_the_minimum_norm_solution(num_classes):
    palette = palettes.random(num_classes, 4) + 0.0
    maskiges = np.random.default_rng(0).random((1, 5, 6, 3), "float32")
    logits = LeastSquaresInverse(palette)(maskiges)
    # Minimum-norm solution, as computed with the pseudoinverse.
    expected = np.linalg.lstsq(
        palette.T / 255, maskiges.reshape(-1, 3).T, rcond=None
    )[0]
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(logits).reshape(-1, num_classes),
        expected.T,
        rtol=1e-2,
        atol=2e-3,
    )


def test_least_squares_is_exact_for_soft_masks_of_three_classes():
    palette = [[255, 0, 0], [0, 255, 0], [40, 0, 255]]
    soft = np.random.default_rng(1).dirichlet(np.ones(3), (1, 4, 5))
    maskiges = MaskigeMapping(palette)(soft.astype("float32"))
    logits = LeastSquaresInverse(palette)(maskiges)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(logits), soft, atol=1e-4
    )


@pytest.mark.parametrize("name", ["camvid", "ade20k"])
@pytest.mark.parametrize("identifier", ["conv", "window"])
def test_learned_inverses_are_initialized_as_nearest_color(name, identifier):
    inverse = inverse_from(identifier, name)
    assert inverse.num_classes == len(palettes.named(name))
    assert inverse.palette == name
    maskiges = np.random.default_rng(0).random((1, 9, 9, 3), "float32")
    expected = to_masks(NearestColorInverse(name), maskiges)
    np.testing.assert_array_equal(to_masks(inverse, maskiges), expected)
    # Exact colors have a high probability, but the softmax is not saturated.
    exact = MaskigeMapping(name)(np.arange(inverse.num_classes)[None, None])
    probabilities = keras.ops.softmax(inverse(exact))
    confidence = keras.ops.convert_to_numpy(probabilities).max(axis=-1)
    assert 0.9 < confidence.min() < 0.999


@pytest.mark.parametrize("inverse", [NearestColorInverse, LeastSquaresInverse])
def test_sharpness_scales_the_logits(inverse):
    maskiges = np.random.default_rng(0).random((1, 9, 9, 3), "float32")
    plain, sharp = inverse("camvid"), inverse("camvid", sharpness=50.0)
    np.testing.assert_array_equal(
        to_masks(plain, maskiges), to_masks(sharp, maskiges)
    )
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(sharp(maskiges)),
        50 * keras.ops.convert_to_numpy(plain(maskiges)),
        rtol=1e-4,
        atol=1e-4,
    )
    with pytest.raises(ValueError, match="`sharpness` must be above 0"):
        inverse("camvid", sharpness=0)


@pytest.mark.parametrize("inverse", [NearestColorInverse, LeastSquaresInverse])
def test_colors_of_a_call_override_the_palette(inverse):
    maskiges = np.random.default_rng(0).random((1, 9, 9, 3), "float32")
    other = palettes.random(11, 5)
    logits = inverse("camvid")(maskiges, colors=other / np.float32(255))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(logits),
        keras.ops.convert_to_numpy(inverse(other)(maskiges)),
        rtol=1e-5,
        atol=1e-5,
    )


@pytest.mark.parametrize("name", PALETTES)
def test_inverse_of_mapping_is_exact(name):
    palette = PALETTES[name]
    every_class = np.arange(len(palette))
    masks = np.random.default_rng(1).permutation(
        np.concatenate([every_class] * 4)
    )
    masks = masks.reshape(2, 2, -1)
    mapping, inverse = MaskigeMapping(palette), NearestColorInverse(palette)
    np.testing.assert_array_equal(to_masks(inverse, mapping(masks)), masks)


@pytest.mark.parametrize("name", ["ade20k", "random 150", "far 19"])
def test_inverse_is_exact_for_uint8_images(name):
    palette = PALETTES[name]
    masks = np.arange(len(palette)).reshape(1, 1, -1)
    maskiges = keras.ops.convert_to_numpy(MaskigeMapping(palette)(masks))
    stored = np.round(255 * maskiges).astype("uint8")
    decoded = to_masks(NearestColorInverse(palette), stored / np.float32(255))
    np.testing.assert_array_equal(decoded, masks)


@pytest.mark.parametrize("name", ["mseg", "random 19", "far 8"])
def test_logits_are_negative_squared_distances_up_to_a_constant(name):
    palette = PALETTES[name]
    colors = np.random.default_rng(2).random((1, 9, 9, 3))
    offsets = colors[..., None, :] - palette / 255
    squared = np.sum(offsets**2, axis=-1)
    logits = keras.ops.convert_to_numpy(
        NearestColorInverse(palette)(colors.astype("float32"))
    )
    constant = np.sum(colors**2, axis=-1, keepdims=True)
    np.testing.assert_allclose(logits, constant - squared, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_soft_masks_are_decoded_to_their_largest_class(seed):
    rng = np.random.default_rng(seed)
    palette = palettes.maximal_distance(11, seed)
    masks = rng.integers(0, 11, (2, 5, 7))
    one_hot = (masks[..., None] == np.arange(11)).astype("float32")
    # A fifth of a mixture moves a color by at most a fifth of the cube's
    # diagonal, 88, which is below half of the smallest distance, 90.
    soft = 0.8 * one_hot + 0.2 * rng.dirichlet(np.ones(11), masks.shape)
    maskiges = MaskigeMapping(palette)(soft.astype("float32"))
    decoded = to_masks(NearestColorInverse(palette), maskiges)
    np.testing.assert_array_equal(decoded, masks)


@pytest.mark.parametrize("name", NAMED)
def test_ignored_pixels_are_decoded_to_a_class(name):
    masks = np.full((1, 2, 3), IGNORE_LABEL)
    color = palettes.ignore_color(name)
    maskiges = MaskigeMapping(name, ignore_color=color)(masks)
    inverse = NearestColorInverse(name)
    decoded = to_masks(inverse, maskiges)
    assert decoded.min() >= 0 and decoded.max() < inverse.num_classes


def test_inverse_is_exact_in_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        inverse = NearestColorInverse("ade20k")
    finally:
        keras.config.set_dtype_policy("float32")
    masks = np.arange(150).reshape(1, 10, 15)
    maskiges = MaskigeMapping("ade20k")(masks)
    assert inverse(maskiges).dtype in (
        keras.ops.convert_to_tensor(np.float32(0)).dtype,
    )
    np.testing.assert_array_equal(to_masks(inverse, maskiges), masks)


@pytest.mark.parametrize("shape", [(2, 4, 4, 1), (2, 4, 4, 4), (4, 4, 3)])
def test_maskiges_without_three_channels_are_errors(shape):
    with pytest.raises(ValueError, match=r"`maskiges` must .*Received"):
        NearestColorInverse("camvid")(np.zeros(shape, "float32"))


def test_inverse_from_a_name_or_a_layer():
    by_name = inverse_from("nearest_color", "camvid")
    assert isinstance(by_name, NearestColorInverse)
    np.testing.assert_array_equal(by_name.palette, palettes.camvid())
    assert inverse_from(by_name, "camvid") is by_name
    plain = keras.layers.Conv2D(11, 1)
    assert inverse_from(plain, "camvid") is plain


def test_inverse_from_raises_for_invalid_arguments():
    with pytest.raises(ValueError, match="did you mean 'nearest_color'"):
        inverse_from("nearest_colour", "camvid")
    with pytest.raises(ValueError, match="Received: inverse=None"):
        inverse_from(None, "camvid")
    with pytest.raises(ValueError, match="a layer for 19 classes"):
        inverse_from(NearestColorInverse("cityscapes"), "camvid")
    with pytest.raises(ValueError, match="a layer for 5 classes"):
        inverse_from(ConvInverse(5), "camvid")
    with pytest.raises(ValueError, match="`palette` must hold 5 colors"):
        ConvInverse(5, palette="camvid")
