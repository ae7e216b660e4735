"""The mapping X: colors, ignored pixels, soft masks and invalid masks."""

import keras
import numpy as np
import pytest
from layer_checks import check_layer

from gss_keras.maskige import (
    IGNORE_LABEL,
    MaskigeMapping,
    check_masks,
    palettes,
)

COLORS = [[255, 0, 0], [0, 255, 0], [0, 51, 255]]


def to_maskiges(mapping, masks):
    return keras.ops.convert_to_numpy(mapping(masks))


def random_masks(seed, num_classes, shape=(2, 5, 7)):
    rng = np.random.default_rng(seed)
    masks = rng.integers(0, num_classes, shape)
    return np.where(rng.random(shape) < 0.1, IGNORE_LABEL, masks)


def test_mapping_of_ids_as_a_layer(tmp_path):
    masks = random_masks(0, 3).astype("int32")
    maskiges = check_layer(
        MaskigeMapping, {"palette": COLORS}, masks, (2, 5, 7, 3), tmp_path
    )
    assert maskiges.min() == 0 and maskiges.max() == 1


def test_mapping_of_soft_masks_as_a_layer(tmp_path):
    masks = np.random.default_rng(0).dirichlet(np.ones(3), (2, 4, 5))
    maskiges = check_layer(
        MaskigeMapping,
        {"palette": COLORS, "ignore_color": (9, 8, 7)},
        masks.astype("float32"),
        (2, 4, 5, 3),
        tmp_path,
    )
    np.testing.assert_allclose(maskiges, masks @ COLORS / 255, atol=1e-6)


def test_mapping_with_learned_colors_as_a_layer(tmp_path):
    masks = random_masks(0, 3).astype("int32")
    learned = check_layer(
        MaskigeMapping,
        {"palette": COLORS, "is_learned": True},
        masks,
        (2, 5, 7, 3),
        tmp_path,
    )
    np.testing.assert_allclose(
        learned, to_maskiges(MaskigeMapping(COLORS), masks), atol=1e-6
    )


def test_learned_colors_are_clipped_and_can_be_set():
    mapping = MaskigeMapping(COLORS, is_learned=True)
    masks = keras.Input((None, None), dtype="int32")
    model = keras.Model(masks, mapping(masks))
    model.compile(keras.optimizers.SGD(1e4), "mse")
    # The gradients move class 0 far beyond white, and class 1 beyond black.
    targets = np.array([[[[9.0] * 3, [-9.0] * 3]]])
    model.fit(np.array([[[0, 1]]]), targets, verbose=0)
    np.testing.assert_allclose(mapping.palette[0], [255, 255, 255])
    np.testing.assert_allclose(mapping.palette[1], [0, 0, 0])
    np.testing.assert_allclose(mapping.palette[2], COLORS[2], atol=1e-4)
    mapping.palette = COLORS
    np.testing.assert_allclose(mapping.palette, COLORS, atol=1e-4)
    with pytest.raises(ValueError, match="`palette` must have colors in 0-255"):
        mapping.palette = [[0, 0, 256], [0, 0, 0], [1, 1, 1]]


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_each_class_has_its_color(dtype):
    mapping = MaskigeMapping(COLORS, ignore_color=(10, 20, 30))
    masks = np.array([[[0, 1, 2, 255]]], dtype)
    expected = np.array([*COLORS, [10, 20, 30]]) / 255
    np.testing.assert_allclose(
        to_maskiges(mapping, masks)[0, 0], expected, atol=1e-6
    )


def test_other_ids_have_the_ignore_color():
    mapping = MaskigeMapping(COLORS, ignore_color=(10, 20, 30))
    maskiges = to_maskiges(mapping, np.array([[[-1, 3, 254, 256, 1000, 255]]]))
    assert np.ptp(maskiges.reshape(-1, 3), axis=0).max() == 0


@pytest.mark.parametrize("seed", range(5))
def test_one_hot_masks_are_mapped_like_ids(seed):
    palette = palettes.random(11, seed)
    mapping = MaskigeMapping(palette, ignore_color=(255, 0, 128))
    masks = random_masks(seed, 11)
    one_hot = (masks[..., None] == np.arange(11)).astype("float32")
    np.testing.assert_allclose(
        to_maskiges(mapping, one_hot), to_maskiges(mapping, masks), atol=1e-6
    )


def test_colors_are_exact_in_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mapping = MaskigeMapping("ade20k")
    finally:
        keras.config.set_dtype_policy("float32")
    maskiges = to_maskiges(mapping, np.arange(150).reshape(1, 10, 15))
    np.testing.assert_array_equal(
        np.round(255 * maskiges.reshape(-1, 3)), palettes.ade20k()
    )


@pytest.mark.parametrize(
    "masks",
    [
        np.zeros((2, 4, 4, 1), "int32"),
        np.zeros((4, 4), "int32"),
        np.zeros((2, 4, 4), "float32"),
        np.zeros((2, 4, 4, 4), "float32"),
    ],
)
def test_invalid_masks_are_errors_eager_and_symbolic(masks):
    mapping = MaskigeMapping(COLORS)
    with pytest.raises(ValueError, match=r"`masks` must be .*Received: masks"):
        mapping(masks)
    symbolic = keras.Input(masks.shape[1:], dtype=masks.dtype.name)
    with pytest.raises(ValueError, match=r"`masks` must be .*Received: masks"):
        mapping(symbolic)


@pytest.mark.parametrize("color", [(0, 0), (0, 0, 256), (-1, 0, 0), "black"])
def test_invalid_ignore_colors_are_errors(color):
    with pytest.raises(ValueError, match="`ignore_color` must .*Received"):
        MaskigeMapping(COLORS, ignore_color=color)


def test_at_most_255_classes():
    assert MaskigeMapping(palettes.random(255)).num_classes == 255
    with pytest.raises(ValueError, match="`palette` must hold at most 255"):
        MaskigeMapping(palettes.random(256))


def test_check_masks_accepts_ids_and_ignore():
    masks = random_masks(3, 11).astype("uint8")
    checked = check_masks(masks, 11)
    assert checked.dtype == "int32"
    np.testing.assert_array_equal(checked, masks)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ([[0, 11]], r"ids from 0 to 10, or 255 .*Received: ids \[11\]"),
        ([[-1, 3]], r"Received: ids \[-1\]"),
        ([[256, 3]], r"Received: ids \[256\]"),
        ([[0.0, 1.0]], "integer class ids. Received: masks of dtype float64"),
        ([[True]], "Received: masks of dtype bool"),
        ([0, 1], r"Received: masks of shape \(2,\)"),
        (np.zeros((1, 2, 2, 1), "int32"), "without a channel axis"),
        (np.zeros((0, 2, 2), "int32"), "not empty"),
    ],
)
def test_check_masks_raises(masks, message):
    with pytest.raises(ValueError, match=f"`masks` must .*{message}"):
        check_masks(masks, 11)
