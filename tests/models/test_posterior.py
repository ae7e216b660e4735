import contextlib

import keras
import numpy as np
import pytest
from keras import ops
from tiny import tiny_data, tiny_posterior, tiny_tokenizer

import gss_keras
from gss_keras import data, synthetic, training
from gss_keras.maskige import ConvInverse


@keras.saving.register_keras_serializable(package="tests")
class PerfectTokenizer(keras.layers.Layer):
    """A lossless tokenizer: the token of a block is its 24-bit color."""

    stride = 4
    codebook_size = 1 << 24

    def encode(self, maskige):
        colors = ops.cast(ops.round(maskige * 255), "int32")
        colors = colors[:, ::4, ::4]
        return (colors[..., 0] * 256 + colors[..., 1]) * 256 + colors[..., 2]

    def decode(self, tokens):
        colors = [tokens // 65536, tokens // 256 % 256, tokens % 256]
        maskige = ops.cast(ops.stack(colors, axis=-1), "float32") / 255
        return ops.repeat(ops.repeat(maskige, 4, axis=1), 4, axis=2)


def blocky_masks(height, width, num_classes=5, side=4):
    """Return masks of random squares, as large as a token's patch."""
    rng = np.random.default_rng(0)
    rows, columns = -(-height // side), -(-width // side)
    masks = rng.integers(0, num_classes, (3, rows, columns))
    masks = masks.repeat(side, axis=1).repeat(side, axis=2)
    return masks[:, :height, :width].astype("int32")


@pytest.mark.parametrize("size", [(16, 24), (15, 22), (4, 4), (1, 3)])
@pytest.mark.parametrize("mask_scale", [1, 2, 4])
def test_reconstruction_is_exact_with_a_lossless_tokenizer(size, mask_scale):
    posterior = gss_keras.LatentPosterior(
        gss_keras.palettes.maximal_distance(5),
        PerfectTokenizer(),
        mask_scale=mask_scale,
    )
    masks = blocky_masks(*size, side=4 // mask_scale)
    logits = ops.convert_to_numpy(posterior(masks))
    assert logits.shape == (*masks.shape, 5)
    np.testing.assert_array_equal(logits.argmax(-1), masks)


@pytest.mark.parametrize("size", [(15, 22), (1, 3)])
def test_reconstructions_are_aligned_with_alignment_stretch(size):
    posterior = gss_keras.LatentPosterior(
        gss_keras.palettes.maximal_distance(5),
        PerfectTokenizer(),
        alignment="stretch",
    )
    masks = blocky_masks(*size)
    logits = ops.convert_to_numpy(posterior(masks))
    np.testing.assert_array_equal(logits.argmax(-1), masks)


def test_merged_pixels_are_averaged_votes():
    posterior = gss_keras.LatentPosterior(
        [[0, 0, 0], [255, 255, 255], [128, 128, 128]],
        PerfectTokenizer(),
        mask_scale=2,
    )
    # Half of the pixels are black, half white; their mean is gray, class 2.
    maskige = np.zeros((1, 4, 4, 3), "float32")
    maskige[:, 1::2] = 1.0
    # Three of the last four pixels are white.
    maskige[:, 2, 2] = 1.0
    votes = ops.convert_to_numpy(posterior.class_logits(maskige, 2, 2))
    np.testing.assert_allclose(votes[0, 0, 0], [0.5, 0.5, 0], atol=1e-6)
    np.testing.assert_allclose(votes[0, 1, 1], [0.25, 0.75, 0], atol=1e-6)
    # A tie goes to the first class.
    assert votes[0, 0, 0].argmax() == 0


@pytest.mark.parametrize("mask_scale", [1, 2])
def test_a_maskige_is_cropped_or_stretched_to_its_photo(mask_scale):
    # Columns of 4 photo pixels each; the photo ends in the middle of the last
    # one.
    columns = np.array([0, 1, 2, 3]).repeat(4 * mask_scale)
    colors = gss_keras.palettes.maximal_distance(4)
    maskige = (colors[columns] / 255).astype("float32")[None, None]
    maskige = maskige.repeat(4 * mask_scale, axis=1)
    masks = []
    for alignment in ("crop", "stretch"):
        posterior = gss_keras.LatentPosterior(
            colors,
            PerfectTokenizer(),
            mask_scale=mask_scale,
            alignment=alignment,
        )
        logits = posterior.class_logits(maskige, 4, 14)
        masks.append(ops.convert_to_numpy(logits)[0, 0].argmax(-1).tolist())
    cropped, stretched = masks
    assert cropped == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 2
    # Pixel i is at (i + 0.5) * 16 / 14 of 16 columns; 3 and 10 are at edges.
    for i in {*range(14)} - {3, 10}:
        assert stretched[i] == int((i + 0.5) * 16 / 14 / 4)
    with pytest.raises(ValueError, match="`alignment` must be"):
        gss_keras.LatentPosterior(colors, PerfectTokenizer(), alignment="fit")


def test_evaluate_of_an_exact_reconstruction():
    posterior = gss_keras.LatentPosterior("camvid", PerfectTokenizer())
    masks = blocky_masks(16, 24, num_classes=11)
    masks[:, :4, :4] = 255
    posterior.compile()
    scores = posterior.evaluate(masks, verbose=0, return_dict=True)
    assert scores["mIoU"] == pytest.approx(100.0)
    assert scores["pixel_accuracy"] == pytest.approx(100.0)
    assert np.isnan(posterior.scores.class_iou()).sum() == 0


def test_evaluate_with_batches_of_masks():
    source = synthetic.streets.Streets(count=3, seed=0, size=(16, 24))
    _, masks = data.load_all(source)
    posterior = tiny_posterior(source.num_classes)
    posterior.compile()
    expected, received = (
        posterior.evaluate(x, verbose=0, return_dict=True)
        for x in (masks, data.batches(source, 2, masks_only=True))
    )
    for name in ("mIoU", "mAcc", "pixel_accuracy"):
        assert received[name] == pytest.approx(expected[name])


def test_default_token_stride_is_four():
    assert tiny_posterior().mask_scale == 1
    coarse = gss_keras.LatentPosterior("camvid", tiny_tokenizer(groups=4))
    assert (coarse.mask_scale, coarse.token_stride) == (2, 4)
    assert coarse.encode(np.zeros((1, 10, 13), "int32")).shape == (1, 3, 4)


def test_target_tokens_use_guesses_for_ignored_pixels_only():
    posterior = gss_keras.LatentPosterior("camvid", PerfectTokenizer())
    masks = np.zeros((1, 8, 8), "int32")
    masks[:, :4] = 255
    masks[:, 3, 1] = 2
    guesses = np.full((1, 8, 8), 7, "int32")
    tokens, counted = posterior.target_tokens(
        ops.convert_to_tensor(masks), ops.convert_to_tensor(guesses)
    )
    colors = posterior.palette.astype("int64")
    as_tokens = (colors[:, 0] * 256 + colors[:, 1]) * 256 + colors[:, 2]
    expected = as_tokens[[7, 7, 0, 0]].reshape(1, 2, 2)
    np.testing.assert_array_equal(ops.convert_to_numpy(tokens), expected)
    # A token is counted if at least one of its pixels is labeled.
    np.testing.assert_array_equal(
        ops.convert_to_numpy(counted), [[[1.0, 0.0], [1.0, 1.0]]]
    )


def test_fit_does_not_change_the_tokenizer():
    posterior = tiny_posterior()
    before = posterior.get_weights()
    posterior.compile("adam")
    with (
        pytest.warns(UserWarning)
        if keras.backend.backend() != "jax"
        else (contextlib.nullcontext())
    ):
        posterior.fit(tiny_data()[1], verbose=0)
    for old, new in zip(before, posterior.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_only_a_learned_inverse_is_trained():
    inverse = keras.layers.Conv2D(5, 1)
    posterior = tiny_posterior(inverse=inverse)
    frozen = posterior.tokenizer.get_weights()
    posterior.compile(keras.optimizers.Adam(0.1))
    history = posterior.fit(tiny_data()[1], epochs=8, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]
    for old, new in zip(frozen, posterior.tokenizer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


TRAINED = {
    "ff": set(),
    "ff-r": set(),
    "ft": {"inverse"},
    "ft-w": {"inverse"},
    "tf": {"mapping"},
    "tt": {"inverse", "mapping"},
}


@pytest.mark.parametrize(
    "variant",
    [
        pytest.param("ff", marks=pytest.mark.any_backend),
        pytest.param("ff-r", marks=pytest.mark.any_backend),
        pytest.param("ft", marks=pytest.mark.any_backend),
        "ft-w",
        pytest.param("tf", marks=pytest.mark.any_backend),
        "tt",
    ],
)
def test_trained_parts_and_saving_of_each_variant(variant, tmp_path):
    posterior = gss_keras.LatentPosterior.from_variant(
        variant, 5, tiny_tokenizer(), token_noise=0.1
    )
    posterior.compile(keras.optimizers.Adam(0.05))
    before = [keras.ops.convert_to_numpy(w) for w in posterior.weights]
    masks = tiny_data()[1]
    if TRAINED[variant]:
        history = posterior.fit(masks, epochs=2, verbose=0).history
        assert np.isfinite(history["loss"]).all()
    changed = {
        weight.path.split("/")[0]
        for weight, old in zip(posterior.weights, before, strict=True)
        if np.any(keras.ops.convert_to_numpy(weight) != old)
        and "seed_generator" not in weight.path
    }
    # The sampling layer counts the steps of its temperature schedule.
    sampling = {"token_choice"} if "mapping" in TRAINED[variant] else set()
    parts = {
        "mapping": posterior.mapping,
        "inverse": posterior.inverse,
        "token_choice": posterior.token_choice,
    }
    expected = {parts[part].name for part in TRAINED[variant] | sampling}
    assert changed == expected
    assert np.all((posterior.palette >= 0) & (posterior.palette <= 255))
    expected = posterior.predict(masks, verbose=0)
    posterior.save_to_preset(tmp_path / "preset")
    loaded = gss_keras.LatentPosterior.from_preset(tmp_path / "preset")
    np.testing.assert_allclose(loaded.palette, posterior.palette, atol=1e-4)
    np.testing.assert_allclose(
        loaded.predict(masks, verbose=0), expected, atol=1e-5
    )


@pytest.mark.any_backend
def test_a_learned_palette_can_be_used_as_a_fixed_one():
    learned = gss_keras.LatentPosterior.from_variant("tf", 5, tiny_tokenizer())
    learned.compile(keras.optimizers.Adam(0.05))
    masks = tiny_data()[1]
    learned.fit(masks, epochs=2, verbose=0)
    fixed = gss_keras.LatentPosterior(learned.palette, learned.tokenizer)
    np.testing.assert_array_equal(
        learned.predict(masks, verbose=0).argmax(-1),
        fixed.predict(masks, verbose=0).argmax(-1),
    )
    assert not fixed.trainable_variables
    assert learned.trainable_variables


@pytest.mark.parametrize("mask_scale", [1, 2])
def test_colors_get_gradients_at_every_scale(mask_scale):
    # Colors inside the cube, since those at its faces may be clipped.
    palette = 60 + gss_keras.palettes.maximal_distance(5) / 2
    posterior = gss_keras.LatentPosterior(
        palette,
        tiny_tokenizer(),
        mask_scale=mask_scale,
        is_palette_learned=True,
    )
    posterior.compile(keras.optimizers.SGD(1.0))
    before = posterior.palette
    posterior.fit(tiny_data()[1], verbose=0)
    assert np.all(np.abs(posterior.palette - before).max(axis=1) > 0)


@pytest.mark.any_backend
def test_learned_colors_are_exempt_from_weight_decay(tmp_path):
    posterior = tiny_posterior(is_palette_learned=True)
    posterior.compile(training.adamw(0.0, 10, 0, weight_decay=0.5))
    before = posterior.palette
    posterior.fit(tiny_data()[1], verbose=0)
    np.testing.assert_allclose(posterior.palette, before, atol=1e-4)
    posterior.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.weight_decay == 0.5


def test_learned_colors_need_a_codebook():
    with pytest.raises(ValueError, match="`tokenizer` must have a method"):
        gss_keras.LatentPosterior(
            "camvid", PerfectTokenizer(), is_palette_learned=True
        )


def test_the_initial_inverse_follows_the_colors():
    posterior = tiny_posterior(inverse="conv", is_palette_learned=True)
    swapped = posterior.palette[[1, 0, 2, 3, 4]]
    posterior.mapping.palette = swapped
    classes = ops.convert_to_numpy(
        posterior.class_logits(swapped[None, None] / np.float32(255), 1, 5)
    ).argmax(-1)
    np.testing.assert_array_equal(classes, [[[0, 1, 2, 3, 4]]])


def test_unknown_variants_and_wrong_inverses_are_errors():
    with pytest.raises(ValueError, match="`variant` must be one of .*'ft-w'"):
        gss_keras.LatentPosterior.from_variant("fx", 5, tiny_tokenizer())
    with pytest.raises(ValueError, match="`inverse` must be for the 5 classes"):
        tiny_posterior(inverse=ConvInverse(7))


def test_predictions_are_the_same_after_loading(tmp_path):
    posterior, masks = tiny_posterior(), tiny_data()[1]
    expected = posterior.predict(masks, verbose=0)
    posterior.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(masks, verbose=0), expected)
    posterior.save_to_preset(tmp_path / "preset")
    loaded = gss_keras.LatentPosterior.from_preset(tmp_path / "preset")
    np.testing.assert_array_equal(loaded.predict(masks, verbose=0), expected)


def test_malformed_arguments_are_errors():
    with pytest.raises(ValueError, match="`mask_scale` must divide"):
        tiny_posterior(mask_scale=3)
    with pytest.raises(ValueError, match="`palette`"):
        gss_keras.LatentPosterior([[0, 0, 0], [0, 0, 0]], tiny_tokenizer())
    posterior = tiny_posterior()
    posterior.compile()
    with pytest.raises(ValueError, match="`masks`.*Received"):
        posterior.evaluate(np.full((1, 8, 8), 5), verbose=0)
