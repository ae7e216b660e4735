"""The one road from photo to mask, on both kinds of segmenters."""

import keras
import numpy as np
import pytest
from keras import ops
from tiny import tiny_backbone, tiny_data, tiny_posterior, tiny_prior

import gss_keras
from gss_keras.models.inference import required

WINDOW = {"window": (20, 32), "stride": (12, 20)}


def generative(**kwargs):
    return gss_keras.GenerativeSegmenter(tiny_prior(**kwargs))


def discriminative():
    return gss_keras.DiscriminativeSegmenter(tiny_backbone(), 5, channels=8)


@pytest.fixture(params=[generative, discriminative], scope="module")
def segmenter(request):
    keras.utils.set_random_seed(0)
    return request.param()


def infer(segmenter, photos, *args, **kwargs):
    found = segmenter.infer(ops.convert_to_tensor(photos), *args, **kwargs)
    return {name: ops.convert_to_numpy(found[name]) for name in found}


def test_every_output_can_be_computed_alone_and_agrees(segmenter):
    photos = tiny_data()[0]
    together = infer(segmenter, photos, segmenter.output_names)
    assert set(together) == set(segmenter.output_names)
    for name, value in together.items():
        alone = infer(segmenter, photos, (name,))
        assert list(alone) == [name]
        np.testing.assert_allclose(alone[name], value, atol=1e-6)
    np.testing.assert_array_equal(
        together["masks"], together["logits"].argmax(-1)
    )
    np.testing.assert_array_equal(together["masks"], segmenter.predict(photos))
    np.testing.assert_allclose(
        together["logits"], segmenter.predict_logits(photos), atol=1e-6
    )
    assert together["confidence"].min() >= 0
    assert together["confidence"].max() <= 1


def test_windows_average_the_same_logits_as_predict(segmenter):
    photos = tiny_data()[0]
    outputs = ("masks", "logits", "confidence")
    found = infer(segmenter, photos, outputs, **WINDOW)
    logits = segmenter.predict_logits(photos, **WINDOW)
    np.testing.assert_allclose(found["logits"], logits, atol=1e-5)
    np.testing.assert_array_equal(found["masks"], found["logits"].argmax(-1))
    known = {"masks": found["masks"]}
    with pytest.raises(ValueError, match="`known` must be None in windows"):
        segmenter.infer(photos, outputs, **WINDOW, known=known)
    with pytest.raises(ValueError, match="must name one or more"):
        segmenter.infer(photos, ("nothing",))


def test_known_values_are_continued_from():
    segmenter, photos = generative(), tiny_data()[0]
    first = segmenter.infer(
        ops.convert_to_tensor(photos), ("tokens", "class_probabilities")
    )
    expected = infer(segmenter, photos, ("masks", "confidence"))
    calls, call = [], segmenter.prior.call
    segmenter.prior.call = lambda *a, **k: calls.append(1) or call(*a, **k)
    found = infer(segmenter, photos, ("masks", "confidence"), known=first)
    assert not calls
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-6)
    # Other tokens give other masks, and what depends on them alone.
    tokens = {"tokens": ops.zeros_like(first["tokens"])}
    maskige = infer(segmenter, photos, ("maskige",), known=tokens)["maskige"]
    decoded = segmenter.posterior.tokenizer.decode(tokens["tokens"])
    np.testing.assert_allclose(maskige, ops.convert_to_numpy(decoded))


def test_confidence_without_a_pixel_branch_is_the_tokens():
    segmenter = generative(pixel_branch=None)
    photos = tiny_data()[0]
    names = ("confidence", "token_probabilities")
    found = infer(segmenter, photos, names)
    spread = found["token_probabilities"].repeat(4, axis=1).repeat(4, axis=2)
    height, width = photos.shape[1:3]
    np.testing.assert_allclose(
        found["confidence"], spread[:, :height, :width], atol=1e-6
    )
    windows = infer(segmenter, photos, ("confidence",), **WINDOW)
    assert windows["confidence"].shape == photos.shape[:3]


@pytest.mark.parametrize("windows", [{}, WINDOW])
def test_it_traces_with_sizes_known_at_run_time(segmenter, windows):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("other backends have no graphs of unknown sizes")
    import tensorflow as tf

    outputs = ("masks", "confidence")

    @tf.function(
        input_signature=[tf.TensorSpec((None, None, None, 3), "uint8")]
    )
    def traced(photos):
        return segmenter.infer(photos, outputs, **windows)

    for size in ((32, 48), (27, 37)):
        photos = tiny_data()[0][:, : size[0], : size[1]]
        expected = infer(segmenter, photos, outputs, **windows)
        found = traced(photos)
        for name in outputs:
            np.testing.assert_allclose(found[name], expected[name], atol=1e-5)


def test_each_segmenter_has_only_its_own_outputs():
    with pytest.raises(ValueError, match="of a DiscriminativeSegmenter"):
        discriminative().infer(tiny_data()[0], ("tokens",))


def test_required_follows_all_inputs():
    inputs = {"a": ("b", "c"), "b": ("d",), "c": ("d",)}
    assert required(["a"], {}, inputs) == {"a", "b", "c", "d"}
    assert required(["a"], {"b": 1}, inputs) == {"a", "c", "d"}
    assert required(["d"], {"d": 1}, inputs) == set()


def test_a_posterior_of_a_user_inverse_segments(tmp_path):
    # A plain layer as X^-1 goes the same road.
    inverse = keras.layers.Conv2D(5, 1, name="mine")
    segmenter = generative(posterior=tiny_posterior(inverse=inverse))
    photos = tiny_data()[0]
    segmenter.save_to_preset(tmp_path / "preset")
    loaded = gss_keras.GenerativeSegmenter.from_preset(tmp_path / "preset")
    np.testing.assert_array_equal(
        loaded.predict(photos), segmenter.predict(photos)
    )
