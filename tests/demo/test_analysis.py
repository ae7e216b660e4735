import keras
import numpy as np
import pytest
from tiny import tiny_data, tiny_prior, tiny_tokenizer

import gss_keras
from gss_keras.demo.analysis import Analyzer, pad_photo, padded_side
from gss_keras.export import answer


@pytest.fixture(scope="module")
def segmenter():
    keras.utils.set_random_seed(0)
    return tiny_segmenter()


@pytest.fixture(scope="module")
def analyzer(segmenter):
    return Analyzer(segmenter)


def tiny_segmenter(posterior=None, **kwargs):
    return gss_keras.GenerativeSegmenter(tiny_prior(posterior, **kwargs))


def photo_of(height, width):
    return tiny_data(1, height, width + width % 2)[0][0][:, :width]


@pytest.mark.parametrize("size", [(31, 45), (1, 1)])
def test_masks_equal_predict(segmenter, analyzer, size):
    photo = photo_of(*size)
    analysis = analyzer.analyze(photo)
    height, width = size
    assert analysis.mask.shape == size
    assert analysis.maskige.shape == (height, width, 3)
    assert analysis.tokens.shape == (-(-height // 4), -(-width // 4))
    assert set(analysis.seconds) == {"prior", "decoder", "inverse"}
    if keras.backend.backend() == "jax":
        photo = pad_photo(photo)
    mask = segmenter.predict(photo)[:height, :width]
    np.testing.assert_array_equal(analysis.mask, mask)
    maskige = segmenter.predict_maskiges(photo)[:height, :width]
    np.testing.assert_allclose(analysis.maskige, 255 * maskige, atol=0.51)


@pytest.mark.parametrize("pixel_branch", ["separate", "shared", None])
def test_confidence_equals_an_exported_model(pixel_branch):
    segmenter = tiny_segmenter(pixel_branch=pixel_branch)
    photo = photo_of(32, 64)  # needs no padding on any backend
    analysis = Analyzer(segmenter).analyze(photo)
    answers = answer(segmenter, keras.ops.convert_to_tensor(photo[None]))
    np.testing.assert_array_equal(
        analysis.tokens, keras.ops.convert_to_numpy(answers["tokens"])[0]
    )
    np.testing.assert_allclose(
        analysis.confidence,
        keras.ops.convert_to_numpy(answers["confidence"])[0],
        atol=1e-5,
    )


def test_token_probabilities_equal_the_softmax(segmenter, analyzer):
    photo = photo_of(32, 32)
    analysis = analyzer.analyze(photo)
    logits = segmenter.prior.token_logits(photo[None].astype("float32"))
    probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(logits))[0]
    np.testing.assert_allclose(
        analysis.token_probability, probabilities.max(axis=-1), rtol=1e-4
    )


def test_upscaled_maskiges_are_returned_at_the_photos_size():
    palette = gss_keras.palettes.maximal_distance(5)
    posterior = gss_keras.LatentPosterior(palette, tiny_tokenizer(groups=4))
    assert posterior.mask_scale == 2
    segmenter = tiny_segmenter(posterior)
    photo = photo_of(32, 64)
    analysis = Analyzer(segmenter).analyze(photo)
    assert analysis.maskige.shape == (32, 64, 3)
    np.testing.assert_array_equal(analysis.mask, segmenter.predict(photo))


def test_a_token_is_decoded_by_the_tokenizer(segmenter, analyzer):
    tokenizer = segmenter.posterior.tokenizer
    alone, field = analyzer.paint_token(9)
    decoded = tokenizer.decode(np.full((1, 1, 1), 9))
    decoded = keras.ops.convert_to_numpy(decoded)[0]
    np.testing.assert_allclose(alone, 255 * decoded, atol=0.51)
    assert alone.shape == field.shape == (tokenizer.stride,) * 2 + (3,)


@pytest.mark.any_backend
def test_sides_are_padded_little_to_few_lengths():
    lengths = {padded_side(side) for side in range(1, 4097)}
    # Multiples of 32 to 128, then four to each of five doublings.
    assert len(lengths) == 4 + 5 * 4
    for side in range(1, 4097):
        assert side <= padded_side(side) <= max(side + 31, 1.25 * side)
        assert padded_side(padded_side(side)) == padded_side(side)


def test_only_jax_pads_and_few_sizes_compile():
    photo = photo_of(33, 40)
    is_jax = keras.backend.backend() == "jax"
    assert pad_photo(photo).shape == ((64, 64, 3) if is_jax else photo.shape)
    analyzer = Analyzer(tiny_segmenter())
    compiled = [
        analyzer.analyze(photo_of(*size)).has_compiled
        for size in [(20, 20), (20, 20), (40, 50), (41, 49), (90, 20)]
    ]
    assert (
        compiled
        == {
            "jax": [True, False, True, False, True],
            "tensorflow": [True, False, True, False, False],
            "torch": [False] * 5,
        }[keras.backend.backend()]
    )
