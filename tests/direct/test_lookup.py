"""Lookup of uniform patches against the tokenizer's encoder."""

import functools

import numpy as np
import pytest
from choice_checks import check_best
from keras import ops
from layer_checks import check_layer
from tiny import tiny_posterior, tiny_prior, tiny_tokenizer

import gss_keras
from gss_keras import LookupEncoder


@functools.cache
def posterior(num_classes=5):
    return gss_keras.LatentPosterior(
        gss_keras.palettes.maximal_distance(num_classes),
        gss_keras.DiscreteVAE.from_preset("maskige"),
    )


def blocky_masks(height, width, side, num_classes=5):
    """Return masks of random squares with a given side, some ignored."""
    rng = np.random.default_rng(0)
    rows, columns = -(-height // side), -(-width // side)
    masks = rng.integers(0, num_classes + 1, (2, rows, columns))
    masks = masks.repeat(side, axis=1).repeat(side, axis=2)
    masks = np.where(masks == num_classes, 255, masks)
    return masks[:, :height, :width].astype("int32")


def token_logits(masks):
    maskige = posterior().mapping(posterior().pad_and_upscale(masks))
    return ops.convert_to_numpy(posterior().tokenizer.encode_logits(maskige))


def distances_to_best(logits):
    """Return how far each logit is below the best of its position."""
    return logits.max(axis=-1, keepdims=True) - logits


@pytest.mark.parametrize(
    ("side", "one_in"),
    [(19, 2), (19, 1000), (3, 4), (1, 4)],
    ids=["some", "all, low capacity", "all", "all, pixel by pixel"],
)
def test_tokens_equal_the_tokenizers_up_to_ties(side, one_in):
    encoder = LookupEncoder.for_posterior(posterior(), one_in=one_in)
    masks = blocky_masks(50, 70, side)
    tokens = ops.convert_to_numpy(encoder.encode(masks))
    exact = ops.convert_to_numpy(posterior().encode(masks))
    assert tokens.shape == exact.shape == (2, 13, 18)
    # Logits are sums of some terms as large as 56: float32 rounds each of
    # them by up to 2e-6. Up to a fifth of the positions are ties, where the
    # processor decides.
    logits = token_logits(masks)
    check_best(tokens, logits, 1e-4 / logits.std())
    is_clear = np.sum(distances_to_best(logits) < 1e-3, axis=-1) == 1
    assert is_clear.mean() > 0.7
    np.testing.assert_array_equal(tokens[is_clear], exact[is_clear])
    assert len(np.unique(exact)) > 15


def test_uniform_patches_are_looked_up():
    encoder = LookupEncoder.for_posterior(posterior())
    masks = blocky_masks(48, 64, 16)
    exact = ops.convert_to_numpy(encoder.encode(masks))
    shifted = (ops.convert_to_numpy(encoder.plain_tokens) + 1) % 512
    encoder.plain_tokens.assign(shifted)
    changed = ops.convert_to_numpy(encoder.encode(masks))
    # A quarter of the patches is encoded although none needs it.
    assert np.mean(changed == (exact + 1) % 512) == 0.75
    assert np.mean(changed == exact) == 0.25


def test_lookup_encoder_as_a_layer(tmp_path):
    sizes = {
        "codebook_size": 32, "num_classes": 5, "stride": 4, "hidden": 8,
        "kernel": 6,
    }  # fmt: skip
    masks = blocky_masks(10, 17, 4)
    check_layer(
        LookupEncoder, sizes, masks, (2, 3, 5), tmp_path, output_dtype="int32"
    )


@pytest.mark.any_backend
def test_a_prior_has_the_same_loss_with_it(tmp_path):
    encoder = LookupEncoder.for_posterior(posterior())
    cheaper = posterior().with_encoder(encoder)
    photos, masks = np.zeros((2, 32, 48, 3), "uint8"), blocky_masks(32, 48, 19)
    # All tokens that are best at some position, ties included.
    best = np.any(distances_to_best(token_logits(masks)) < 1e-3, axis=(0, 1, 2))
    losses = []
    for option in (posterior(), cheaper):
        prior = tiny_prior(option, dropout=0.0, pixel_branch=None)
        # Logits depend on the bias alone, and ties do not change the loss.
        kernel, bias = prior.vocabulary.get_weights()
        bias[best] = 3.0
        prior.vocabulary.set_weights([0 * kernel, bias])
        prior.compile("adam")
        history = prior.fit(photos, masks, batch_size=2, verbose=0)
        losses.append(history.history["token_loss"][0])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    prior.save_to_preset(tmp_path / "preset")
    loaded = gss_keras.LatentPrior.from_preset(tmp_path / "preset")
    np.testing.assert_array_equal(
        ops.convert_to_numpy(loaded.posterior.encode(masks)),
        ops.convert_to_numpy(cheaper.encode(masks)),
    )


def test_other_architectures_are_errors():
    with pytest.raises(ValueError, match="one convolution in its encoder"):
        LookupEncoder.for_posterior(tiny_posterior())
    trained = gss_keras.LatentPosterior(
        gss_keras.palettes.maximal_distance(5),
        tiny_tokenizer(groups=1, patch=4, encoder_blocks=0, input_kernel=12),
    )
    with pytest.raises(ValueError, match="regardless of its neighbors"):
        LookupEncoder.for_posterior(trained)
