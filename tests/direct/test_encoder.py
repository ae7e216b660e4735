import keras
import numpy as np
import pytest
from keras import ops
from layer_checks import check_layer
from tiny import tiny_data, tiny_posterior, tiny_prior, tiny_tokenizer

import gss_keras
from gss_keras import DirectEncoder, EncoderDistillation
from gss_keras.layers import vocabulary

SIZES = {"codebook_size": 32, "num_classes": 5, "channels": 8}


def random_masks(*shape, num_classes=5):
    rng = np.random.default_rng(0)
    return rng.integers(0, num_classes, shape).astype("int32")


def test_direct_encoder_as_a_layer(tmp_path):
    masks = random_masks(2, 10, 17)
    check_layer(DirectEncoder, SIZES, masks, (2, 3, 5, 32), tmp_path)


def test_receptive_field():
    encoder = DirectEncoder(**SIZES, depth=2)
    masks = np.zeros((1, 36, 36), "int32")
    changed = masks.copy()
    changed[0, 17, 18] = 3
    one, other = (ops.convert_to_numpy(encoder(m)) for m in (masks, changed))
    differs = np.any(one != other, axis=(0, 3))
    assert differs[2:7, 2:7].all()
    assert differs.sum() == 5 * 5


def test_padding_and_invalid_ids_are_ignored_pixels():
    encoder = DirectEncoder(**SIZES)
    masks = random_masks(1, 9, 14)
    masks[:, :5, :7] = 255
    padded = np.full((1, 12, 16), -1, "int32")
    padded[:, :9, :14] = np.where(masks == 255, 7, masks)
    one, other = (ops.convert_to_numpy(encoder(m)) for m in (masks, padded))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("max_logits", [2**23, 7 * 32])
def test_encode_is_the_argmax_of_the_logits(max_logits, monkeypatch):
    monkeypatch.setattr(vocabulary, "_MAX_LOGITS", max_logits)
    encoder, masks = DirectEncoder(**SIZES), random_masks(2, 12, 20)
    logits = ops.convert_to_numpy(encoder(masks))
    tokens = ops.convert_to_numpy(encoder.encode(masks))
    assert tokens.dtype == "int32"
    np.testing.assert_array_equal(tokens, logits.argmax(-1))


def test_distillation_learns_the_tokens_of_a_frozen_posterior():
    keras.utils.set_random_seed(0)
    posterior = tiny_posterior()
    masks = random_masks(8, 8, 12).repeat(4, axis=1).repeat(4, axis=2)
    masks[:, :6, :9] = 255
    frozen = posterior.get_weights()
    distillation = EncoderDistillation(posterior)
    distillation.compile(keras.optimizers.Adam(1e-2))
    distillation.fit(masks, batch_size=4, epochs=60, verbose=0)
    for old, new in zip(frozen, posterior.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    exact = ops.convert_to_numpy(posterior.encode(masks))
    cheaper = posterior.with_encoder(distillation.encoder)
    predicted = ops.convert_to_numpy(cheaper.encode(masks))
    majority = np.bincount(exact.ravel()).max() / exact.size
    accuracy = np.mean(predicted == exact)
    assert 1 - accuracy < (1 - majority) / 4
    scores = distillation.evaluate(masks, verbose=0, return_dict=True)
    assert scores["token_accuracy"] == pytest.approx(accuracy, abs=1e-5)


@pytest.mark.parametrize("groups", [3, 4])
def test_a_posterior_uses_the_encoder(groups, tmp_path):
    posterior = gss_keras.LatentPosterior(
        gss_keras.palettes.maximal_distance(5), tiny_tokenizer(groups=groups)
    )
    encoder = DirectEncoder.for_posterior(posterior, channels=8)
    cheaper = posterior.with_encoder(encoder)
    masks = random_masks(2, 9, 14)
    expected = ops.convert_to_numpy(encoder.encode(masks))
    exact = ops.convert_to_numpy(posterior.encode(masks))
    assert np.any(expected != exact)
    np.testing.assert_array_equal(cheaper.encode(masks), expected)
    restored = cheaper.with_encoder(None)
    np.testing.assert_array_equal(restored.encode(masks), exact)
    # Ignored pixels are filled with the guesses, and their tokens not counted.
    known = masks.copy()
    known[:, :8, :4] = 255
    padded, guesses = (cheaper.pad_and_upscale(m) for m in (known, masks))
    tokens, counted = cheaper.target_tokens(padded, guesses)
    np.testing.assert_array_equal(tokens, expected)
    expected_counts = np.ones(expected.shape)
    expected_counts[:, :2, :1] = 0
    np.testing.assert_array_equal(counted, expected_counts)
    cheaper.save_to_preset(tmp_path / "preset")
    loaded = gss_keras.LatentPosterior.from_preset(tmp_path / "preset")
    np.testing.assert_array_equal(loaded.encode(masks), expected)


@pytest.mark.any_backend
def test_a_prior_learns_the_encoders_tokens_and_freezes_it(tmp_path):
    posterior = tiny_posterior()
    encoder = DirectEncoder.for_posterior(posterior, channels=8)
    frozen = encoder.get_weights()
    photos, masks = tiny_data()
    losses = {}
    for name, option in (("exact", None), ("direct", encoder)):
        keras.utils.set_random_seed(0)
        prior = tiny_prior(posterior.with_encoder(option), dropout=0.0)
        prior.compile("adam")
        history = prior.fit(photos, masks, batch_size=4, verbose=0)
        losses[name] = history.history["token_loss"][0]
    for old, new in zip(frozen, encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert losses["exact"] != losses["direct"]
    prior.save_to_preset(tmp_path / "preset")
    loaded = gss_keras.LatentPrior.from_preset(tmp_path / "preset")
    np.testing.assert_array_equal(
        loaded.posterior.encode(masks), encoder.encode(masks)
    )


def test_learned_colors_are_fixed_by_with_encoder():
    learned = tiny_posterior(is_palette_learned=True)
    learned.mapping.palette = 255 - learned.palette
    encoder = DirectEncoder.for_posterior(learned, channels=8)
    fixed = learned.with_encoder(encoder)
    np.testing.assert_array_equal(fixed.palette, learned.palette)
    with pytest.raises(ValueError, match="a posterior with fixed colors"):
        tiny_posterior(is_palette_learned=True, encoder=encoder)


def test_an_encoder_of_other_sizes_is_an_error():
    posterior = tiny_posterior()
    for sizes in ({"codebook_size": 33}, {"num_classes": 4}, {"stride": 8}):
        encoder = DirectEncoder(**(SIZES | sizes))
        for use in (
            lambda e: EncoderDistillation(posterior, e),
            posterior.with_encoder,
        ):
            with pytest.raises(ValueError, match="`encoder` must have the"):
                use(encoder)
    encoder = DirectEncoder.for_posterior(posterior, channels=8)
    with pytest.raises(ValueError, match="its tokenizer's encoder"):
        EncoderDistillation(posterior.with_encoder(encoder))
