"""The encoder that looks plain squares up, against the tokenizer's own."""

import functools

import numpy as np
import pytest
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


def regions(height, width, side, num_classes=5):
    """Masks of squares that are no squares of tokens, some ignored."""
    generator = np.random.default_rng(0)
    rows, columns = -(-height // side), -(-width // side)
    masks = generator.integers(0, num_classes + 1, (2, rows, columns))
    masks = masks.repeat(side, axis=1).repeat(side, axis=2)
    masks = np.where(masks == num_classes, 255, masks)
    return masks[:, :height, :width].astype("int32")


def loss_of(tokens, masks):
    """Return how far below the best token's logit each of the tokens is."""
    maskige = posterior().mapping(posterior().draw_up(masks))
    logits = posterior().tokenizer.encode_logits(maskige)
    logits = ops.convert_to_numpy(logits)
    taken = np.take_along_axis(logits, tokens[..., None], axis=-1)[..., 0]
    return logits.max(-1) - taken


@pytest.mark.parametrize(
    ("side", "one_in"),
    [(19, 2), (19, 1000), (3, 4), (1, 4)],
    ids=["some", "all, without room", "all", "all, pixel by pixel"],
)
def test_tokens_are_those_of_the_tokenizer_but_for_ties(side, one_in):
    encoder = LookupEncoder.for_posterior(posterior(), one_in=one_in)
    masks = regions(50, 70, side)
    tokens = ops.convert_to_numpy(encoder.encode(masks))
    exact = ops.convert_to_numpy(posterior().encode(masks))
    assert tokens.shape == exact.shape == (2, 13, 18)
    assert loss_of(tokens, masks).max() < 1e-5
    assert np.mean(tokens == exact) > 0.95
    assert len(np.unique(exact)) > 15


def test_plain_squares_are_looked_up():
    encoder = LookupEncoder.for_posterior(posterior())
    masks = regions(48, 64, 16)
    exact = ops.convert_to_numpy(encoder.encode(masks))
    shifted = (ops.convert_to_numpy(encoder.plain_tokens) + 1) % 512
    encoder.plain_tokens.assign(shifted)
    changed = ops.convert_to_numpy(encoder.encode(masks))
    # A quarter of the squares is encoded although none needs it.
    assert np.mean(changed == (exact + 1) % 512) == 0.75
    assert np.mean(changed == exact) == 0.25


def test_the_encoder_in_every_way_it_is_run(tmp_path):
    sizes = {
        "codebook_size": 32, "num_classes": 5, "stride": 4, "hidden": 8,
        "kernel": 6,
    }  # fmt: skip
    masks = regions(10, 17, 4)
    check_layer(
        LookupEncoder, sizes, masks, (2, 3, 5), tmp_path, output_dtype="int32"
    )


@pytest.mark.any_backend
def test_a_prior_learns_the_same_from_it(tmp_path):
    encoder = LookupEncoder.for_posterior(posterior())
    cheaper = posterior().with_encoder(encoder)
    photos, masks = np.zeros((2, 32, 48, 3), "uint8"), regions(32, 48, 19)
    exact = ops.convert_to_numpy(posterior().encode(masks))
    losses = []
    for used in (posterior(), cheaper):
        prior = tiny_prior(used, dropout=0.0, pixel_branch=None)
        # The bias alone gives tokens their scores: ties are told apart less.
        kernel, bias = prior.vocabulary.get_weights()
        bias[np.unique(exact)] = 3.0
        prior.vocabulary.set_weights([0 * kernel, bias])
        prior.compile("adam")
        history = prior.fit(photos, masks, batch_size=2, verbose=0)
        losses.append(history.history["token_loss"][0])
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)
    prior.save_to_preset(tmp_path / "preset")
    loaded = gss_keras.LatentPrior.from_preset(tmp_path / "preset")
    np.testing.assert_array_equal(
        ops.convert_to_numpy(loaded.posterior.encode(masks)),
        ops.convert_to_numpy(cheaper.encode(masks)),
    )


def test_tokenizers_that_need_more_are_refused():
    with pytest.raises(ValueError, match="one convolution in its encoder"):
        LookupEncoder.for_posterior(tiny_posterior())
    trained = gss_keras.LatentPosterior(
        gss_keras.palettes.maximal_distance(5),
        tiny_tokenizer(groups=1, patch=4, encoder_blocks=0, input_kernel=12),
    )
    with pytest.raises(ValueError, match="whatever lies around it"):
        LookupEncoder.for_posterior(trained)
