"""Test the chunked codebook classifier against an unchunked reference."""

import keras
import numpy as np
import pytest
from keras import ops

from gss_keras.layers import vocabulary
from gss_keras.layers.vocabulary import Vocabulary

CODES, CHANNELS = 40, 6


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    # 2 x 5 x 7 positions are ten chunks of seven; 2 x 1 x 11 do not divide.
    monkeypatch.setattr(vocabulary, "_MAX_LOGITS", 8 * CODES)


def generate(rows=5, columns=7):
    rng = np.random.default_rng(0)
    shape = 2, rows, columns
    features = rng.normal(size=(*shape, CHANNELS)).astype("float32")
    tokens = rng.integers(0, CODES, shape).astype("int32")
    counted = rng.integers(0, 2, shape).astype("float32")
    return features, tokens, counted


def make_layer(codebook_size):
    layer = Vocabulary(codebook_size)
    layer.build((None, None, None, CHANNELS))
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    return layer


def log_softmax(logits):
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
def test_best_tokens_and_cross_entropy(codebook_size, size, training):
    layer = make_layer(codebook_size)
    assert layer.is_wide == (codebook_size == CODES)
    features, tokens, counted = generate(*size)
    tokens %= codebook_size
    logits = ops.convert_to_numpy(layer(features))
    total, best = layer.cross_entropy(
        features, tokens, ops.convert_to_tensor(counted), training
    )
    losses = -np.take_along_axis(log_softmax(logits), tokens[..., None], -1)
    assert float(ops.convert_to_numpy(total)) == pytest.approx(
        (losses[..., 0] * counted).sum(), rel=1e-5
    )
    tokens, probabilities = layer.best_tokens_and_probabilities(features)
    np.testing.assert_allclose(
        ops.convert_to_numpy(probabilities),
        np.exp(log_softmax(logits).max(-1)),
        rtol=1e-5,
    )
    for found in (best, layer.best_tokens(features), tokens):
        found = ops.convert_to_numpy(found)
        np.testing.assert_array_equal(found, logits.argmax(-1))
        assert found.dtype == "int32"


class Classifier(keras.Model):
    """Classify features over the codebook, after a dense layer."""

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
    model = Classifier(layer)
    model.compile(optimizer=keras.optimizers.SGD(1.0), **compiled)
    features, tokens, counted = generate()
    targets = np.stack([tokens, counted.astype("int32")], axis=-1)
    model.fit(features, targets, batch_size=2, verbose=0)
    loss = model.evaluate(features, targets, verbose=0)
    return [ops.convert_to_numpy(w) for w in model.weights], loss


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_gradients_in_chunks_equal_those_without(monkeypatch, run_eagerly):
    compiled = {"run_eagerly": run_eagerly}
    before = [ops.convert_to_numpy(w) for w in make_layer(CODES).weights]
    chunked, chunked_loss = weights_after_a_step(make_layer(CODES), **compiled)
    monkeypatch.setattr(Vocabulary, "is_wide", False)
    whole, whole_loss = weights_after_a_step(make_layer(CODES), **compiled)
    assert chunked_loss == pytest.approx(whole_loss, rel=1e-5)
    for one, other in zip(chunked, whole, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    updates = [
        np.abs(a - b).max() for a, b in zip(before, whole[-2:], strict=True)
    ]
    assert min(updates) > 0.1


def expected_gradients(x, tokens, counted, projection, kernel, bias):
    """Return the gradients of the summed loss by all weights, in float64."""
    features = x @ projection
    logits = features @ kernel + bias
    errors = np.exp(log_softmax(logits)) - np.eye(CODES)[tokens]
    errors *= counted[:, None]
    feature_gradients = errors @ kernel.T
    return (
        x.T @ feature_gradients, feature_gradients.sum(0), features.T @ errors,
        errors.sum(0),
    )  # fmt: skip


@pytest.mark.parametrize("size", [(5, 7), (1, 11), (13, 3)])
@pytest.mark.parametrize(
    "dtype, tolerance",
    [
        ("float32", 1e-6),
        # 11 significant bits, 8 of bfloat16: 0.05 % and 0.4 %.
        ("mixed_float16", 3e-3),
        ("mixed_bfloat16", 3e-2),
    ],
)
def test_gradients_equal_the_formula(dtype, tolerance, size):
    features, tokens, counted = generate(*size)
    counted += 3.0 * (tokens % 2)  # weights, some of them zero
    keras.config.set_dtype_policy(dtype)
    try:
        classifier = Classifier(make_layer(CODES))
    finally:
        keras.config.set_dtype_policy("float32")
    classifier.compile(keras.optimizers.SGD(1.0), auto_scale_loss=False)
    classifier(features)
    before = [w.astype("float64") for w in classifier.get_weights()]
    targets = np.stack([tokens, counted.astype("int32")], axis=-1)
    classifier.train_on_batch(features, targets)
    flat = features.reshape(-1, CHANNELS), tokens.ravel(), counted.ravel()
    # The bias of the dense layer is zero.
    expected = expected_gradients(*flat, before[0], *before[2:])
    for old, new, gradient in zip(
        before, classifier.get_weights(), expected, strict=True
    ):
        error = np.linalg.norm(10.0 * (old - new) - gradient)
        assert error < tolerance * np.linalg.norm(gradient)


class Predictor(keras.Model):
    def __init__(self, layer):
        super().__init__()
        self.vocabulary = layer

    def call(self, features):
        return self.vocabulary.best_tokens_and_probabilities(features)


def test_dynamic_sizes_in_one_graph():
    predictor = Predictor(make_layer(CODES))
    for size in (5, 7), (1, 11), (13, 3), (1, 1):
        features, _, _ = generate(*size)
        tokens, probabilities = predictor.predict(features, verbose=0)
        logits = ops.convert_to_numpy(predictor.vocabulary(features))
        np.testing.assert_array_equal(tokens, logits.argmax(-1))
        expected = np.exp(log_softmax(logits).max(-1))
        np.testing.assert_allclose(probabilities, expected, rtol=1e-5)


def test_a_second_backward_pass_is_an_error_on_torch():
    if keras.backend.backend() != "torch":
        pytest.skip("only PyTorch runs backward passes explicitly")
    features, tokens, counted = map(ops.convert_to_tensor, generate())
    total, _ = make_layer(CODES).cross_entropy(features, tokens, counted)
    total.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="Compute the loss again"):
        total.backward()


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_half_precision_accumulates_gradients_in_float32(run_eagerly):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        half, _ = weights_after_a_step(
            make_layer(CODES), run_eagerly=run_eagerly
        )
    finally:
        keras.config.set_dtype_policy("float32")
    exact, _ = weights_after_a_step(make_layer(CODES), run_eagerly=run_eagerly)
    start = make_layer(CODES).get_weights()[0]
    kernel, expected = half[-2] - start, exact[-2] - start
    error = np.linalg.norm(kernel - expected) / np.linalg.norm(expected)
    assert 1e-5 < error < 0.02  # 8 significant bits: 0.4 % per product
