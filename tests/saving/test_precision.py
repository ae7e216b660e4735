"""Models in half precision: what is loaded, computed and learned."""

import functools

import keras
import numpy as np
import pytest
from keras import ops
from tiny import tiny_data, tiny_posterior, tiny_prior

import gss_keras
from gss_keras.saving.precision import precision
from gss_keras.synthetic import streets

HALF = [
    "mixed_bfloat16",
    "bfloat16",
    # Only the name differs from those above.
    pytest.param("mixed_float16", marks=pytest.mark.any_backend),
    pytest.param("float16", marks=pytest.mark.any_backend),
]
# Layers that decide by small differences.
EXACT = {"MaskigeMapping", "NearestColorInverse", "WindowInverse"}


@functools.cache
def photo():
    """Return one drawn photo of 96 x 128 pixels."""
    return streets.Streets(1, seed=3, size=(96, 128))[0]["photo"]


@functools.cache
def whole_mask():
    """Return the mask of that photo in single precision."""
    load = gss_keras.GenerativeSegmenter.from_preset
    return load("camvid").predict(photo())


def kind(tensor):
    return keras.backend.standardize_dtype(tensor.dtype)


@pytest.mark.parametrize("dtype", HALF)
def test_a_preset_loads_in_another_precision(dtype):
    segmenter = gss_keras.GenerativeSegmenter.from_preset("camvid", dtype=dtype)
    half = dtype.split("_")[-1]
    used = {
        type(layer).__name__
        for layer in segmenter._flatten_layers()
        if layer.compute_dtype != half
    }
    # Of convolutions and products, only those to logits.
    assert used <= EXACT | {"Conv2D", "Dense", "GenerativeSegmenter"}
    assert keras.config.dtype_policy().name == "float32"

    kernels = {w.dtype for w in segmenter.prior.vocabulary.weights}
    assert kernels == {half if half == dtype else "float32"}
    statistics = [w for w in segmenter.weights if "moving" in w.path]
    assert len(statistics) > 100
    assert {w.dtype for w in statistics} == {"float32"}


# Bfloat16 has 8 bits, and a drawn street is nothing that the model knows: on
# photos of CamVid, 99.7 % of the pixels stay, see benchmarks/savings.md.
@pytest.mark.parametrize(
    ("dtype", "share"), [("bfloat16", 0.97), ("float16", 0.99)]
)
def test_masks_in_half_precision_are_nearly_the_same(dtype, share):
    segmenter = gss_keras.GenerativeSegmenter.from_preset("camvid", dtype=dtype)
    logits = segmenter.predict_logits(photo())
    assert len(np.unique(whole_mask())) > 3
    assert np.mean(logits.argmax(-1) == whole_mask()) > share
    assert logits.dtype == "float32"


@pytest.mark.any_backend
def test_the_global_policy_decides_where_no_precision_is_asked_for():
    with precision("mixed_bfloat16"):
        prior = gss_keras.GenerativeSegmenter.from_preset("camvid").prior
    assert prior.projection.compute_dtype == "bfloat16"
    assert prior.pixel_classifier.compute_dtype == "float32"


def test_a_model_saved_in_one_precision_loads_in_every_other(tmp_path):
    photos = tiny_data()[0]
    with precision("bfloat16"):
        half = gss_keras.GenerativeSegmenter(
            tiny_prior(tiny_posterior(inverse="window"))
        )
    half.save_to_preset(tmp_path / "half")
    load = functools.partial(
        gss_keras.GenerativeSegmenter.from_preset, tmp_path / "half"
    )
    whole = load(dtype="float32")
    assert {w.dtype for w in whole.weights if "float" in w.dtype} == {"float32"}
    for ours, theirs in zip(
        half.get_weights(), whole.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours.astype("float32"), theirs)
    logits = whole.predict_logits(photos)
    apart = np.abs(load(dtype="bfloat16").predict_logits(photos) - logits)
    assert np.median(apart) < 0.05 * logits.std()


@functools.cache
def fitted(dtype):
    """Return a prior trained for some steps, and its losses."""
    photos, masks = tiny_data()
    keras.utils.set_random_seed(1)
    posterior = tiny_posterior()
    with precision(dtype):
        prior = tiny_prior(posterior, depth=1, dropout=0.0)
        optimizer = keras.optimizers.AdamW(3e-3)
        if dtype == "mixed_float16":
            # By default it begins so large that the first steps are left out.
            optimizer = keras.optimizers.LossScaleOptimizer(
                optimizer, initial_scale=2.0**8
            )
        prior.compile(optimizer)
    history = prior.fit(photos, masks, batch_size=4, epochs=6, verbose=0)
    return prior, np.array(history.history["loss"])


@pytest.mark.parametrize(
    "dtype",
    [
        "mixed_bfloat16",
        pytest.param("mixed_float16", marks=pytest.mark.any_backend),
    ],
)
def test_training_in_mixed_precision_follows_single_precision(dtype):
    _, losses = fitted("float32")
    prior, half_losses = fitted(dtype)
    assert losses[-1] < 0.98 * losses[0]
    np.testing.assert_allclose(half_losses, losses, rtol=0.02)
    photos = ops.convert_to_tensor(tiny_data()[0])
    outputs = prior(photos)
    assert {w.dtype for w in prior.trainable_variables} == {"float32"}
    assert kind(outputs["features"]) == dtype.split("_")[-1]
    assert kind(outputs["pixel_logits"]) == "float32"
    assert kind(prior.token_logits(photos)) == "float32"


@pytest.mark.any_backend
def test_a_prior_for_other_classes_keeps_its_precision():
    prior = gss_keras.LatentPrior.from_preset
    segmenter = gss_keras.GenerativeSegmenter.from_preset(
        "camvid", posterior=tiny_posterior(), dtype="mixed_bfloat16"
    )
    assert segmenter.prior.vocabulary.compute_dtype == "bfloat16"
    assert segmenter.posterior.tokenizer.compute_dtype == "float32"
    with pytest.raises(ValueError, match="`dtype` must be one of"):
        prior("camvid", dtype="int8")


def test_shares_of_attention_sum_to_one_in_half_precision():
    attention = gss_keras.layers.window_attention.WindowAttention
    layer = attention(8, heads=2, window=7, dtype="bfloat16")
    features = ops.ones((1, 7, 7, 8), "bfloat16")
    layer.build((1, 7, 7, 8))
    # Each value is 1, so the mean of the values is 1, too.
    layer.query_key_value.set_weights(
        [
            np.random.default_rng(0).normal(size=(8, 24)) * [0] * 24,
            np.array(16 * [0.0] + 8 * [1.0]),
        ]
    )
    layer.projection.set_weights([np.eye(8), np.zeros(8)])
    layer.relative_position_bias.assign(
        np.random.default_rng(0).normal(size=(169, 2))
    )
    result = ops.convert_to_numpy(ops.cast(layer(features), "float32"))
    np.testing.assert_allclose(result, 1.0, atol=2**-8)
