import keras
import numpy as np
import pytest
from keras import ops
from layer_checks import check_layer
from tiny import tiny_data, tiny_posterior, tiny_prior

import gss_keras
from gss_keras import DecoderDistillation, DirectDecoder
from gss_keras.direct.neighborhood import Neighborhood

SIZES = {"codebook_size": 32, "num_classes": 5, "channels": 8}


def blocky_masks(count=8, num_classes=5, height=32, width=48):
    rng = np.random.default_rng(0)
    shape = count, height // 8, width // 8
    masks = rng.integers(0, num_classes, shape)
    return masks.repeat(8, axis=1).repeat(8, axis=2).astype("int32")


@pytest.mark.parametrize("table", [True, False])
def test_direct_decoder_as_a_layer(table, tmp_path):
    tokens = np.random.default_rng(0).integers(0, 32, (2, 3, 5))
    check_layer(
        DirectDecoder,
        SIZES | {"table": table},
        tokens.astype("int32"),
        (2, 12, 20, 5),
        tmp_path,
    )


def test_adapt_stores_log_probabilities_in_the_table():
    posterior, masks = tiny_posterior(), blocky_masks()
    distillation = DecoderDistillation(posterior)
    distillation.adapt(masks)
    tokens = ops.convert_to_numpy(posterior.encode(masks))
    logits = distillation.decoder.table(tokens)
    logits = ops.convert_to_numpy(logits).reshape(*tokens.shape, 4, 4, 5)
    for token in np.unique(tokens):
        where = np.argwhere(tokens == token)
        patches = np.stack(
            [
                masks[i, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4]
                for i, y, x in where
            ]
        )
        frequencies = [np.mean(patches == c, axis=0) for c in range(5)]
        frequencies = np.stack(frequencies, axis=-1)
        found = np.exp(logits[tuple(where[0])])
        np.testing.assert_allclose(found, frequencies, atol=0.2)
        best = np.take_along_axis(
            frequencies, found.argmax(-1)[..., None], axis=-1
        )
        np.testing.assert_allclose(best[..., 0], frequencies.max(-1), atol=1e-6)
    # The table alone decodes tokens better than an untrained decoder.
    direct = ops.convert_to_numpy(distillation(masks)).argmax(-1)
    untrained = DecoderDistillation(posterior)(masks)
    untrained = ops.convert_to_numpy(untrained).argmax(-1)
    assert np.mean(direct == masks) > 1.5 * np.mean(untrained == masks)


def test_adapt_needs_masks_and_a_table():
    posterior = tiny_posterior()
    bare = DirectDecoder.for_posterior(posterior, table=False)
    distillation = DecoderDistillation(posterior, bare)
    assert not distillation.is_adaptable
    with pytest.raises(ValueError, match="`adapt` needs a decoder with"):
        distillation.adapt(blocky_masks())
    with pytest.raises(ValueError, match="`masks` must hold at least one"):
        DecoderDistillation(posterior).adapt([])


@pytest.mark.parametrize(("side", "radius"), [(1, 2), (3, 3), (5, 4)])
def test_receptive_field(side, radius):
    decoder = DirectDecoder(**SIZES, depth=2, side=side)
    tokens = np.zeros((1, 11, 11), "int32")
    changed = tokens.copy()
    changed[0, 5, 5] = 7
    one, other = (ops.convert_to_numpy(decoder(t)) for t in (tokens, changed))
    differs = np.any(one != other, axis=(0, 3))
    field = slice(4 * (5 - radius), 4 * (6 + radius))
    assert differs[field, field].all()
    assert differs.sum() == (4 * (2 * radius + 1)) ** 2


@pytest.mark.parametrize("side", [1, 3, 5])
def test_neighborhood_equals_a_convolution_over_one_hot_tokens(side, tmp_path):
    tokens = np.random.default_rng(0).integers(0, 6, (2, 4, 5)).astype("int32")
    arguments = {"codebook_size": 6, "channels": 3, "side": side}
    check_layer(Neighborhood, arguments, tokens, (2, 4, 5, 3), tmp_path)
    layer = Neighborhood(**arguments)
    found = ops.convert_to_numpy(layer(tokens))
    margin = side // 2
    padding = ((0, 0), (margin, margin), (margin, margin))
    one_hot = np.eye(7)[np.pad(tokens, padding, constant_values=6)]
    (rows,) = layer.get_weights()
    kernel = rows.reshape(side, side, 7, 3)
    expected = ops.conv(
        one_hot.astype("float32"), kernel, data_format="channels_last"
    )
    np.testing.assert_allclose(found, ops.convert_to_numpy(expected), atol=1e-5)


def test_distillation_learns_true_masks_not_reconstructions():
    keras.utils.set_random_seed(0)
    posterior, masks = tiny_posterior(), blocky_masks()
    frozen = posterior.get_weights()
    distillation = DecoderDistillation(posterior)
    distillation.compile(keras.optimizers.Adam(3e-2))
    distillation.fit(masks, batch_size=4, epochs=40, verbose=0)
    for old, new in zip(frozen, posterior.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    direct = ops.convert_to_numpy(distillation(masks)).argmax(-1)
    reconstructed = ops.convert_to_numpy(posterior(masks)).argmax(-1)
    # An untrained tokenizer decodes arbitrary colors.
    assert np.mean(reconstructed == masks) < 0.6
    assert np.mean(direct == masks) > 0.9
    scores = distillation.evaluate(masks, verbose=0, return_dict=True)
    accuracy = 100 * np.mean(direct == masks)
    np.testing.assert_allclose(scores["pixel_accuracy"], accuracy, rtol=1e-4)


@pytest.mark.parametrize("alignment", ["crop", "stretch"])
def test_a_segmenter_uses_the_decoder(alignment, tmp_path):
    posterior = tiny_posterior(alignment=alignment)
    decoder = DirectDecoder.for_posterior(posterior, channels=8)
    segmenter = gss_keras.GenerativeSegmenter(
        tiny_prior(posterior), decoder=decoder
    )
    photos = tiny_data()[0][:, :30, :45]
    tokens = segmenter.prior.predict_tokens(photos)
    logits = ops.convert_to_numpy(decoder(tokens))
    assert logits.shape == (4, 32, 48, 5)
    masks = segmenter.predict(photos)
    if alignment == "crop":
        expected = logits.argmax(-1)[:, :30, :45]
        np.testing.assert_array_equal(masks, expected)
    assert masks.shape == (4, 30, 45)
    segmenter.save_to_preset(tmp_path / "preset")
    loaded = gss_keras.GenerativeSegmenter.from_preset(tmp_path / "preset")
    np.testing.assert_array_equal(loaded.predict(photos), masks)


def test_a_decoder_of_other_sizes_is_an_error():
    posterior = tiny_posterior()
    for sizes in (
        {"codebook_size": 33},
        {"num_classes": 4},
        {"stride": 8},
    ):
        decoder = DirectDecoder(**(SIZES | sizes))
        with pytest.raises(ValueError, match="`decoder` must have the"):
            DecoderDistillation(posterior, decoder)
        with pytest.raises(ValueError, match="`decoder` must have the"):
            gss_keras.GenerativeSegmenter(
                tiny_prior(posterior), decoder=decoder
            )
    with pytest.raises(ValueError, match="an `inverse` or a `decoder`"):
        gss_keras.GenerativeSegmenter(
            tiny_prior(posterior),
            inverse="conv",
            decoder=DirectDecoder.for_posterior(posterior),
        )
