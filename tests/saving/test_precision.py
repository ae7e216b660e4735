"""Half precision: loading, inference and training."""

import functools

import keras
import numpy as np
import pytest
from keras import ops
from tiny import tiny_data, tiny_posterior, tiny_prior

import gss_keras
from gss_keras.layers.normalization import BatchNormalization
from gss_keras.models.inference import InferenceModel
from gss_keras.saving.precision import precision
from gss_keras.synthetic import streets

HALF = [
    "mixed_bfloat16",
    "bfloat16",
    # Only the name differs from those above.
    pytest.param("mixed_float16", marks=pytest.mark.any_backend),
    pytest.param("float16", marks=pytest.mark.any_backend),
]
# Layers that are always computed in float32.
EXACT = {"MaskigeMapping", "NearestColorInverse", "WindowInverse"}


@functools.cache
def photo():
    """Return a synthetic photo of 96 x 128 pixels."""
    return streets.Streets(1, seed=3, size=(96, 128))[0]["photo"]


def dtype_of(tensor):
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
    # Of convolutions and dense layers, only those that return logits.
    assert used <= EXACT | {"Conv2D", "Dense", "GenerativeSegmenter"}
    assert keras.config.dtype_policy().name == "float32"

    kernels = {w.dtype for w in segmenter.prior.vocabulary.weights}
    assert kernels == {half if half == dtype else "float32"}
    statistics = [w for w in segmenter.weights if "moving" in w.path]
    assert len(statistics) > 100
    assert {w.dtype for w in statistics} == {"float32"}


# Relative error of rounding to the nearest: 8 and 11 significant bits.
UNIT_ROUNDOFF = {"bfloat16": 2.0**-8, "float16": 2.0**-11}


@functools.cache
def camvid(dtype):
    """Return the bundled segmenter in a precision."""
    load = gss_keras.GenerativeSegmenter.from_preset
    return load("camvid", dtype=dtype)


@functools.cache
def segment(dtype):
    """Return token logits, tokens and mask of that photo by name.

    All come from one compiled program: two programs round differently.
    """
    segmenter = camvid(dtype)
    prior = segmenter.prior

    def outputs(photos):
        features = prior(photos, training=False)["features"]
        found = infer(segmenter, photos, prior.vocabulary.best_tokens(features))
        return {**found, "logits": prior.vocabulary(features)}

    model = InferenceModel(segmenter, outputs)
    batch = model.predict(photo()[None], verbose=0)
    return {name: value[0] for name, value in batch.items()}


def infer(segmenter, photos, tokens):
    """Continue inference from tokens to the maskige and the mask."""
    return segmenter.infer(
        photos, ("tokens", "maskige", "masks"), window="whole",
        known={"tokens": tokens},
    )  # fmt: skip


def relative_changes(dtype):
    """Return how far token logits differ from those of float32.

    The root mean square at each position, relative to the standard deviation
    of the float32 logits there. What all logits share changes no token.
    """
    exact = segment("float32")["logits"]
    changes = segment(dtype)["logits"] - exact
    return changes.std(axis=-1) / exact.std(axis=-1)


def expected_change(dtype):
    """Return the relative change of token logits that rounding explains.

    A layer that rounds its outputs to the nearest adds relative errors that
    are at most uniform in [-u, u], with u the unit roundoff: a standard
    deviation of u / sqrt(3). Normalization keeps the relative size of errors
    from layer to layer. Those of different layers are independent, so their
    variances add up: n layers give u * sqrt(n / 3). The processor decides
    which errors are drawn, not how large they are.
    """
    prior = camvid(dtype).prior
    others = {id(layer) for layer in prior.posterior._flatten_layers()}
    count = sum(
        layer.compute_dtype == dtype
        for layer in prior._flatten_layers()
        if not layer._layers and id(layer) not in others
    )
    assert 100 < count < 250
    return UNIT_ROUNDOFF[dtype] * (count / 3) ** 0.5


def margin_of_colors(maskige):
    """Return by how much the second nearest palette color is farther."""
    palette = camvid("float32").posterior.palette / 255
    distances = np.linalg.norm(maskige[..., None, :] - palette, axis=-1)
    first, second = np.moveaxis(np.sort(distances, axis=-1)[..., :2], -1, 0)
    return second - first


@pytest.mark.parametrize("dtype", UNIT_ROUNDOFF)
def test_token_logits_change_by_what_rounding_explains(dtype):
    relative, expected = relative_changes(dtype), expected_change(dtype)
    # Measured: 0.3 to 0.7 of the expectation on the three backends.
    assert np.median(relative) < 3 * expected
    # Errors are amplified where the photo is ambiguous. A region that is
    # computed wrongly, such as borders or padding, differs by much more.
    assert np.sqrt(np.mean(relative**2)) < 10 * expected
    # Rounding leaves traces: float32 would be exact to 2^-24.
    assert np.median(relative) > expected / 30


def test_float16_changes_logits_less_than_bfloat16():
    bfloat16, float16 = (
        np.median(relative_changes(dtype)) for dtype in UNIT_ROUNDOFF
    )
    # It rounds 8 times more finely. This reveals a float16 model that
    # computes in bfloat16, whatever the processor.
    assert float16 < bfloat16 / 3


@pytest.mark.parametrize("dtype", UNIT_ROUNDOFF)
def test_half_precision_keeps_tokens_and_pixels_of_clear_margins(dtype):
    exact, half = segment("float32"), segment(dtype)
    logits = exact["logits"]
    second, first = np.moveaxis(np.sort(logits, axis=-1)[..., -2:], -1, 0)
    # The best logit sinks, and another one rises, by at most this much.
    largest_change = np.abs(half["logits"] - logits).max(axis=-1)
    is_clear = first - second > 2 * largest_change
    # By the margins of float32, 60 % would be left if logits changed three
    # times as much as they do, which the test above does not accept.
    assert is_clear.mean() > 0.5
    np.testing.assert_array_equal(
        half["tokens"][is_clear], exact["tokens"][is_clear]
    )

    # The color of a pixel depends on its own token and on those beside it.
    neighborhoods = np.lib.stride_tricks.sliding_window_view(
        np.pad(is_clear, 1, constant_values=True), (3, 3)
    )
    is_clear = neighborhoods.all(axis=(2, 3)).repeat(4, axis=0)
    is_clear = is_clear.repeat(4, axis=1)
    # Where a decoded color lies midway between two of the palette, rounding
    # decides, see the test below.
    margin = margin_of_colors(exact["maskige"])
    is_clear &= margin > 16 * UNIT_ROUNDOFF[dtype]
    # Above half of the tokens, of which each spoils up to nine squares.
    assert is_clear.mean() > 0.2
    assert len(np.unique(exact["masks"][is_clear])) > 3
    np.testing.assert_array_equal(
        half["masks"][is_clear], exact["masks"][is_clear]
    )


@pytest.mark.parametrize("dtype", UNIT_ROUNDOFF)
def test_half_precision_decodes_tokens_to_the_same_colors(dtype):
    photos = np.zeros((1, 64, 128, 3), "uint8")
    tokens = np.arange(512, dtype="int32").reshape(1, 16, 32)
    found = [infer(camvid(d), photos, tokens) for d in ("float32", dtype)]
    (exact, expected), (half, masks) = (
        [ops.convert_to_numpy(f[name]) for name in ("maskige", "masks")]
        for f in found
    )
    # Colors are in [0, 1], and the features they are made from below 8.
    limit = 8 * UNIT_ROUNDOFF[dtype]
    assert np.abs(half - exact).max() < limit
    is_clear = margin_of_colors(exact) > 2 * limit
    assert is_clear.mean() > 0.5
    np.testing.assert_array_equal(masks[is_clear], expected[is_clear])
    logits = camvid(dtype).infer(photos, ("logits",))["logits"]
    assert dtype_of(logits) == "float32"


@pytest.mark.parametrize("dtype", UNIT_ROUNDOFF)
def test_batch_statistics_are_applied_in_float32(dtype):
    generator = np.random.default_rng(0)
    gamma, beta, mean = generator.normal(size=(3, 64)).astype("float32")
    variance = generator.gamma(2.0, size=64).astype("float32")
    layer = BatchNormalization(dtype=dtype)
    layer.build((None, 64))
    layer.set_weights([gamma, beta, mean, variance])
    scale = gamma.astype("float64") / np.sqrt(variance + layer.epsilon)
    shift = beta - scale * mean

    kernel, bias = layer.fold(ops.ones((3, 64), dtype))
    np.testing.assert_allclose(ops.convert_to_numpy(bias), shift, atol=1e-5)
    features = ops.cast(generator.normal(size=(5, 64)), dtype)
    outputs = ops.convert_to_numpy(ops.cast(layer(features), "float32"))
    features = ops.convert_to_numpy(ops.cast(features, "float32"))
    kernel = ops.convert_to_numpy(ops.cast(kernel, "float32"))
    # Only the results are rounded to half precision, once.
    rounding = {"rtol": 1.01 * UNIT_ROUNDOFF[dtype], "atol": 1e-5}
    np.testing.assert_allclose(kernel[0], scale, **rounding)
    np.testing.assert_allclose(outputs, scale * features + shift, **rounding)


@pytest.mark.any_backend
def test_the_global_policy_is_the_default():
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
    errors = np.abs(load(dtype="bfloat16").predict_logits(photos) - logits)
    assert np.median(errors) < 0.05 * logits.std()


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
            # The default initial scale overflows, which skips the first steps.
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
    assert dtype_of(outputs["features"]) == dtype.split("_")[-1]
    assert dtype_of(outputs["pixel_logits"]) == "float32"
    assert dtype_of(prior.token_logits(photos)) == "float32"


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


def test_attention_weights_sum_to_one_in_half_precision():
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
