"""The chunked classifier over the codebook against the plain formulas."""

import keras
import numpy as np
import pytest
from keras import ops

from gss_keras.layers import vocabulary
from gss_keras.layers.vocabulary import Vocabulary

CODES, CHANNELS = 40, 6


@pytest.fixture(autouse=True)
def few_are_held(monkeypatch):
    # 2 x 5 x 7 positions make ten chunks of seven; 2 x 11 no equal ones.
    monkeypatch.setattr(vocabulary, "_HELD", 8 * CODES)


def generate(rows=5, columns=7):
    generator = np.random.default_rng(0)
    shape = 2, rows, columns
    features = generator.normal(size=(*shape, CHANNELS)).astype("float32")
    tokens = generator.integers(0, CODES, shape).astype("int32")
    counted = generator.integers(0, 2, shape).astype("float32")
    return features, tokens, counted


def layer_of(codebook_size):
    layer = Vocabulary(codebook_size)
    layer.build((None, None, None, CHANNELS))
    generator = np.random.default_rng(1)
    layer.set_weights([generator.normal(size=w.shape) for w in layer.weights])
    return layer


def log_shares(logits):
    logits = logits.astype("float64")
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


@pytest.mark.parametrize(
    ("codebook_size", "size", "training"),
    [
        (CODES, (5, 7), True),
        (CODES, (5, 7), False),
        (CODES, (1, 11), True),
        (CODES, (1, 11), False),
        (CODES, (1, 1), True),
        (2 * CHANNELS, (5, 7), True),
    ],
)
def test_best_tokens_and_their_surprise(codebook_size, size, training):
    layer = layer_of(codebook_size)
    assert layer.is_wide == (codebook_size == CODES)
    features, tokens, counted = generate(*size)
    tokens %= codebook_size
    logits = ops.convert_to_numpy(layer(features))
    total, best = layer.cross_entropy(
        features, tokens, ops.convert_to_tensor(counted), training
    )
    surprise = -np.take_along_axis(log_shares(logits), tokens[..., None], -1)
    assert float(ops.convert_to_numpy(total)) == pytest.approx(
        (surprise[..., 0] * counted).sum(), rel=1e-5
    )
    likeliest, shares = layer.likeliest(features)
    np.testing.assert_allclose(
        ops.convert_to_numpy(shares),
        np.exp(log_shares(logits).max(-1)),
        rtol=1e-5,
    )
    for found in (best, layer.best_tokens(features), likeliest):
        found = ops.convert_to_numpy(found)
        np.testing.assert_array_equal(found, logits.argmax(-1))
        assert found.dtype == "int32"


class Reader(keras.Model):
    """Tells tokens from features, and keeps the gradients in its weights."""

    def __init__(self, layer):
        super().__init__()
        self.projection = keras.layers.Dense(CHANNELS)
        self.vocabulary = layer

    def call(self, features):
        return self.projection(features)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        del x, sample_weight
        total, _ = self.vocabulary.cross_entropy(
            y_pred, y[..., 0], ops.cast(y[..., 1], "float32"), training
        )
        return total / 10.0


def weights_after_a_step(layer, **compiled):
    keras.utils.set_random_seed(0)
    model = Reader(layer)
    model.compile(optimizer=keras.optimizers.SGD(1.0), **compiled)
    features, tokens, counted = generate()
    targets = np.stack([tokens, counted.astype("int32")], axis=-1)
    model.fit(features, targets, batch_size=2, verbose=0)
    loss = model.evaluate(features, targets, verbose=0)
    return [ops.convert_to_numpy(w) for w in model.weights], loss


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_chunks_have_the_gradients_of_the_whole(monkeypatch, run_eagerly):
    compiled = {"run_eagerly": run_eagerly}
    before = [ops.convert_to_numpy(w) for w in layer_of(CODES).weights]
    chunked, chunked_loss = weights_after_a_step(layer_of(CODES), **compiled)
    monkeypatch.setattr(Vocabulary, "is_wide", False)
    whole, whole_loss = weights_after_a_step(layer_of(CODES), **compiled)
    assert chunked_loss == pytest.approx(whole_loss, rel=1e-5)
    for one, other in zip(chunked, whole, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    moved = [
        np.abs(a - b).max() for a, b in zip(before, whole[-2:], strict=True)
    ]
    assert min(moved) > 0.1


def slopes(x, tokens, counted, projection, kernel, bias):
    """Return the sum's gradients by all weights, in float64."""
    features = x @ projection
    logits = features @ kernel + bias
    errors = np.exp(log_shares(logits)) - np.eye(CODES)[tokens]
    errors *= counted[:, None]
    by_features = errors @ kernel.T
    return (
        x.T @ by_features, by_features.sum(0), features.T @ errors,
        errors.sum(0),
    )  # fmt: skip


@pytest.mark.parametrize("size", [(5, 7), (1, 11), (13, 3)])
@pytest.mark.parametrize(
    "dtype, tolerance",
    [
        ("float32", 1e-6),
        ("mixed_float16", 3e-3),  # 11 bits, 8 of bfloat16: 0.05 and 0.4 %
        ("mixed_bfloat16", 3e-2),
    ],
)
def test_gradients_are_those_of_the_formula(dtype, tolerance, size):
    features, tokens, counted = generate(*size)
    counted += 3.0 * (tokens % 2)  # weights, none of them too
    keras.config.set_dtype_policy(dtype)
    try:
        reader = Reader(layer_of(CODES))
    finally:
        keras.config.set_dtype_policy("float32")
    reader.compile(keras.optimizers.SGD(1.0), auto_scale_loss=False)
    reader(features)
    before = [w.astype("float64") for w in reader.get_weights()]
    targets = np.stack([tokens, counted.astype("int32")], axis=-1)
    reader.train_on_batch(features, targets)
    flat = features.reshape(-1, CHANNELS), tokens.ravel(), counted.ravel()
    # The projection's bias is zero.
    expected = slopes(*flat, before[0], *before[2:])
    for old, new, slope in zip(
        before, reader.get_weights(), expected, strict=True
    ):
        error = np.linalg.norm(10.0 * (old - new) - slope)
        assert error < tolerance * np.linalg.norm(slope)


class Guesser(keras.Model):
    def __init__(self, layer):
        super().__init__()
        self.vocabulary = layer

    def call(self, features):
        return self.vocabulary.likeliest(features)


def test_maps_of_any_size_in_one_graph():
    guesser = Guesser(layer_of(CODES))
    for size in (5, 7), (1, 11), (13, 3), (1, 1):
        features, _, _ = generate(*size)
        tokens, shares = guesser.predict(features, verbose=0)
        logits = ops.convert_to_numpy(guesser.vocabulary(features))
        np.testing.assert_array_equal(tokens, logits.argmax(-1))
        expected = np.exp(log_shares(logits).max(-1))
        np.testing.assert_allclose(shares, expected, rtol=1e-5)


def test_gradients_are_asked_for_once_on_torch():
    if keras.backend.backend() != "torch":
        pytest.skip("others keep what a loss needs out of sight")
    features, tokens, counted = map(ops.convert_to_tensor, generate())
    total, _ = layer_of(CODES).cross_entropy(features, tokens, counted)
    total.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="Compute the loss again"):
        total.backward()


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_half_precision_computes_in_it_and_sums_in_float32(run_eagerly):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        rough, _ = weights_after_a_step(
            layer_of(CODES), run_eagerly=run_eagerly
        )
    finally:
        keras.config.set_dtype_policy("float32")
    exact, _ = weights_after_a_step(layer_of(CODES), run_eagerly=run_eagerly)
    start = layer_of(CODES).get_weights()[0]
    kernel, expected = rough[-2] - start, exact[-2] - start
    error = np.linalg.norm(kernel - expected) / np.linalg.norm(expected)
    assert 1e-5 < error < 0.02  # bfloat16 has 8 bits: 0.4 % a product
