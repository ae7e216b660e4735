"""Class probabilities of tokens, and a prior guided by them."""

import keras
import numpy as np
import pytest
from keras import ops
from tiny import tiny_data, tiny_posterior, tiny_prior

import gss_keras
from gss_keras.direct.token_classes import (
    count_token_classes,
    patch_log_probabilities,
)
from gss_keras.ops.backend import resize_bilinear


def blocky_masks(count=3, num_classes=4, height=40, width=56):
    rng = np.random.default_rng(0)
    masks = rng.integers(0, num_classes, (count, height // 8, width // 8))
    masks = masks.repeat(8, axis=1).repeat(8, axis=2)[:, 3:, :-2]
    masks[:, :5, :3] = 255
    return masks


def guided_prior(num_classes=4):
    posterior = gss_keras.LatentPosterior(
        gss_keras.palettes.maximal_distance(num_classes),
        gss_keras.DiscreteVAE.from_preset("maskige"),
    )
    return tiny_prior(posterior, pixel_branch="guiding", heads=None)


def test_probabilities_are_smoothed_relative_frequencies():
    posterior, masks = tiny_posterior(4), blocky_masks()
    masks[1, 20:, 9:] = 3
    probabilities = count_token_classes(posterior, masks)
    probabilities = probabilities.reshape(-1, 4, 4, 4)
    observed = {}
    for mask in masks:
        tokens = ops.convert_to_numpy(posterior.encode(mask[None]))[0]
        for row, column in np.ndindex(mask.shape):
            if mask[row, column] != 255:
                token = tokens[row // 4, column // 4]
                key = token, row % 4, column % 4
                observed.setdefault(key, []).append(mask[row, column])
    for (token, row, column), ids in observed.items():
        counts = np.bincount(ids, minlength=4) + 0.05
        expected = 0.98 * counts / counts.sum() + 0.02 / 4
        found = probabilities[token, row, column]
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    tokens = [token for token, _, _ in observed]
    unused = np.setdiff1d(np.arange(len(probabilities)), tokens)
    np.testing.assert_allclose(probabilities[unused], 0.25, rtol=1e-6)


def test_channels_are_the_pixels_of_a_patch():
    logits = np.random.default_rng(0).normal(size=(2, 3, 5, 4))
    logits = ops.convert_to_tensor(logits.astype("float32"))
    found = ops.convert_to_numpy(patch_log_probabilities(logits, 4))
    fine = ops.log_softmax(resize_bilinear(logits, 12, 20))
    fine = ops.convert_to_numpy(fine)
    for row, column in np.ndindex(12, 20):
        channels = found[:, row // 4, column // 4].reshape(2, 4, 4, 4)
        np.testing.assert_allclose(
            channels[:, row % 4, column % 4], fine[:, row, column], atol=1e-5
        )


def test_tokens_follow_the_pixel_branch():
    prior = guided_prior()
    prior.adapt(blocky_masks())
    kernel, bias = prior.vocabulary.get_weights()
    kernel[: prior.config["projection"]] = 0
    prior.vocabulary.set_weights([kernel, bias])
    segmenter = gss_keras.GenerativeSegmenter(prior)
    photo = np.zeros((20, 24, 3), "uint8")
    weights = prior.pixel_classifier.get_weights()
    for class_id in range(4):
        bias = 8.0 * np.eye(4)[class_id]
        prior.pixel_classifier.set_weights([0 * weights[0], bias])
        np.testing.assert_array_equal(segmenter.predict(photo), class_id)


def test_the_token_loss_trains_the_pixel_branch():
    prior, (photos, masks) = guided_prior(5), tiny_data()
    prior.adapt(masks)
    prior.compile(keras.optimizers.Adam(1e-2))
    prior.pixel_loss_weight = 0.0
    before = prior.pixel_classifier.get_weights()[0]
    history = prior.fit(photos, masks, batch_size=2, epochs=3, verbose=0)
    losses = history.history["token_loss"]
    assert losses[-1] < losses[0]
    assert np.abs(prior.pixel_classifier.get_weights()[0] - before).max() > 1e-3


def test_saving_a_guided_prior_and_reusing_it_for_other_classes(tmp_path):
    prior = guided_prior()
    prior.adapt(blocky_masks())
    prior.save_to_preset(tmp_path / "preset")
    loaded = gss_keras.LatentPrior.from_preset(tmp_path / "preset")
    photos = tiny_data()[0]
    np.testing.assert_array_equal(
        ops.convert_to_numpy(loaded.predict_tokens(photos)),
        ops.convert_to_numpy(prior.predict_tokens(photos)),
    )
    posterior = gss_keras.LatentPosterior(
        gss_keras.palettes.maximal_distance(7), prior.posterior.tokenizer
    )
    other = prior.with_posterior(posterior)
    kept = prior.config["projection"]
    old, new = (p.vocabulary.get_weights()[0] for p in (prior, other))
    np.testing.assert_array_equal(old[:kept], new[:kept])
    assert new.shape == (kept + 7 * 16, 512)


def test_invalid_calls_of_adapt_are_errors():
    with pytest.raises(ValueError, match="`masks` must hold at least one"):
        count_token_classes(tiny_posterior(), [])
    with pytest.raises(ValueError, match="`adapt` needs a prior with"):
        tiny_prior().adapt(blocky_masks())
