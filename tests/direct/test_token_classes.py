"""What tokens stand for, and a prior that chooses them by it."""

import keras
import numpy as np
import pytest
from keras import ops
from tiny import tiny_data, tiny_posterior, tiny_prior

import gss_keras
from gss_keras.direct.token_classes import (
    count_token_classes,
    square_likelihoods,
)
from gss_keras.ops.backend import resize_bilinear


def blocky_masks(count=3, num_classes=4, height=40, width=56):
    generator = np.random.default_rng(0)
    masks = generator.integers(0, num_classes, (count, height // 8, width // 8))
    masks = masks.repeat(8, axis=1).repeat(8, axis=2)[:, 3:, :-2]
    masks[:, :5, :3] = 255
    return masks


def guided_prior(num_classes=4):
    posterior = gss_keras.LatentPosterior(
        gss_keras.palettes.maximal_distance(num_classes),
        gss_keras.DiscreteVAE.from_preset("maskige"),
    )
    return tiny_prior(posterior, pixel_branch="guiding", heads=None)


def test_classes_are_counted_pixel_by_pixel():
    posterior, masks = tiny_posterior(4), blocky_masks()
    masks[1, 20:, 9:] = 3
    shares = count_token_classes(posterior, masks)
    shares = shares.reshape(-1, 4, 4, 4)
    seen = {}
    for mask in masks:
        tokens = ops.convert_to_numpy(posterior.encode(mask[None]))[0]
        for row, column in np.ndindex(mask.shape):
            if mask[row, column] != 255:
                token = tokens[row // 4, column // 4]
                place = token, row % 4, column % 4
                seen.setdefault(place, []).append(mask[row, column])
    for (token, row, column), ids in seen.items():
        counts = np.bincount(ids, minlength=4) + 0.05
        expected = 0.98 * counts / counts.sum() + 0.02 / 4
        found = shares[token, row, column]
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    unseen = np.setdiff1d(np.arange(len(shares)), [place[0] for place in seen])
    np.testing.assert_allclose(shares[unseen], 0.25, rtol=1e-6)


def test_channels_are_the_pixels_of_a_square():
    logits = np.random.default_rng(0).normal(size=(2, 3, 5, 4))
    logits = ops.convert_to_tensor(logits.astype("float32"))
    found = ops.convert_to_numpy(square_likelihoods(logits, 4))
    fine = ops.log_softmax(resize_bilinear(logits, 12, 20))
    fine = ops.convert_to_numpy(fine)
    for row, column in np.ndindex(12, 20):
        channels = found[:, row // 4, column // 4].reshape(2, 4, 4, 4)
        np.testing.assert_allclose(
            channels[:, row % 4, column % 4], fine[:, row, column], atol=1e-5
        )


def test_tokens_follow_what_the_pixel_branch_holds_likely():
    prior = guided_prior()
    prior.adapt(blocky_masks())
    kernel, bias = prior.vocabulary.get_weights()
    kernel[: prior.config["projection"]] = 0
    prior.vocabulary.set_weights([kernel, bias])
    segmenter = gss_keras.GenerativeSegmenter(prior)
    photo = np.zeros((20, 24, 3), "uint8")
    weights = prior.pixel_classifier.get_weights()
    for class_id in range(4):
        likely = 8.0 * np.eye(4)[class_id]
        prior.pixel_classifier.set_weights([0 * weights[0], likely])
        np.testing.assert_array_equal(segmenter.predict(photo), class_id)


def test_the_pixel_branch_learns_from_the_tokens_that_it_guides():
    prior, (photos, masks) = guided_prior(5), tiny_data()
    prior.adapt(masks)
    prior.compile(keras.optimizers.Adam(1e-2))
    prior.pixel_loss_weight = 0.0
    before = prior.pixel_classifier.get_weights()[0]
    history = prior.fit(photos, masks, batch_size=2, epochs=3, verbose=0)
    losses = history.history["token_loss"]
    assert losses[-1] < losses[0]
    assert np.abs(prior.pixel_classifier.get_weights()[0] - before).max() > 1e-3


def test_a_guided_prior_is_saved_and_kept_for_other_classes(tmp_path):
    prior = guided_prior()
    prior.adapt(blocky_masks())
    prior.save_to_preset(tmp_path / "preset")
    again = gss_keras.LatentPrior.from_preset(tmp_path / "preset")
    photos = tiny_data()[0]
    np.testing.assert_array_equal(
        ops.convert_to_numpy(again.predict_tokens(photos)),
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


def test_what_cannot_be_counted_is_refused():
    with pytest.raises(ValueError, match="`masks` must hold at least one"):
        count_token_classes(tiny_posterior(), [])
    with pytest.raises(ValueError, match="`adapt` needs a prior with"):
        tiny_prior().adapt(blocky_masks())
