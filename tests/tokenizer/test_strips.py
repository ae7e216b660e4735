"""Encoding and decoding in strips against the whole models."""

import keras
import numpy as np
import pytest
from keras import ops

from gss_keras.export import elsewhere
from gss_keras.ops import strips
from gss_keras.tokenizer.discrete_vae import DiscreteVAE

SIZES = {
    "like DALL-E": {"blocks": 2},
    "patches": {"blocks": 1, "patch": 3, "input_kernel": 8},
    "two groups": {"groups": 2, "encoder_blocks": 3, "input_kernel": 3},
    "one group": {"groups": 1, "patch": 4, "input_kernel": 12},
}


@pytest.fixture(autouse=True)
def short_strips(monkeypatch):
    monkeypatch.setattr(strips, "_MIN_ROWS", 2)
    monkeypatch.setattr(strips, "_MAX_ELEMENTS", 1)


def make_tokenizer(**sizes):
    keras.utils.set_random_seed(0)
    common = {
        "codebook_size": 24,
        "hidden": 8,
        "groups": 3,
        "blocks": 1,
        "decoder_initial": 6,
        # Makes errors at the borders of strips larger than rounding errors.
        "residual_gain": 1.0,
    }
    return DiscreteVAE(**(common | sizes))


def random_tokens(height, width=3, batch=2):
    shape = batch, height, width
    return np.random.default_rng(0).integers(0, 24, shape).astype("int32")


def execution_modes(function, *shape, dtype):
    """Return the function, eager and traced with dynamic sizes."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        spec = tf.TensorSpec(shape, dtype)
        return function, tf.function(function, input_signature=[spec])
    if keras.backend.backend() == "jax":
        import jax

        return (jax.jit(function),)
    return (function,)


@pytest.mark.parametrize("name", SIZES)
def test_decoding_in_strips_equals_the_whole_decoder(name):
    tokenizer = make_tokenizer(**SIZES[name])
    modes = execution_modes(tokenizer.decode, None, None, None, dtype="int32")
    for height in (1, 5):
        tokens = ops.convert_to_tensor(random_tokens(height))
        whole = tokenizer.decode_features(tokenizer.lookup(tokens))
        whole = np.clip(ops.convert_to_numpy(whole), 0, 1)
        assert whole.std() > 1e-2
        for decode in modes:
            found = ops.convert_to_numpy(decode(tokens))
            np.testing.assert_allclose(found, whole, atol=1e-5)


@pytest.mark.parametrize("name", SIZES)
def test_encoding_in_strips_equals_the_whole_encoder(name):
    tokenizer = make_tokenizer(**SIZES[name])
    # Large weights give clear margins between logits.
    rng = np.random.default_rng(0)
    tokenizer.to_logits.kernel.assign(
        rng.normal(size=tokenizer.to_logits.kernel.shape)
    )
    modes = execution_modes(
        tokenizer.encode, None, None, None, 3, dtype="float32"
    )
    for rows in (1, 5):
        shape = 2, rows * tokenizer.stride, 3 * tokenizer.stride, 3
        maskige = rng.uniform(size=shape).astype("float32")
        maskige = ops.convert_to_tensor(maskige)
        logits = ops.convert_to_numpy(tokenizer.encode_logits(maskige))
        first, second = np.sort(logits, axis=-1)[..., :-3:-1].transpose(
            3, 0, 1, 2
        )
        is_clear = first - second > 1e-3
        assert is_clear.mean() > 0.9
        for encode in modes:
            found = ops.convert_to_numpy(encode(maskige))
            assert found.dtype == "int32"
            np.testing.assert_array_equal(
                found[is_clear], logits.argmax(-1)[is_clear]
            )


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="needs TensorFlow"
)
@pytest.mark.slow
def test_onnx_runtime_decodes_in_strips(tmp_path):
    pytest.importorskip("tf2onnx")
    runtime = pytest.importorskip("onnxruntime")
    tokenizer = make_tokenizer()
    archive = keras.export.ExportArchive()
    archive.track(tokenizer)
    spec = keras.InputSpec("int32", (None, None, None), name="tokens")
    archive.add_endpoint("serve", tokenizer.decode, input_signature=[spec])
    archive.write_out(str(tmp_path / "model"), verbose=False)
    elsewhere.convert_to_onnx(tmp_path / "model", tmp_path / "model.onnx")
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    for height in (1, 5, 12):
        tokens = random_tokens(height)
        (found,) = session.run(None, {"tokens": tokens})
        whole = tokenizer.decode(np.eye(24, dtype="float32")[tokens])
        np.testing.assert_allclose(found, whole, atol=1e-5)


def test_probabilities_are_not_decoded_in_strips(monkeypatch):
    tokenizer = make_tokenizer()
    whole = ops.convert_to_numpy(tokenizer.decode(random_tokens(5)))

    # Calling one of these would raise a TypeError.
    for name in ("decode_in_strips", "encode_in_strips"):
        monkeypatch.setattr(f"gss_keras.tokenizer.discrete_vae.{name}", None)
    probabilities = np.eye(24, dtype="float32")[random_tokens(5)]
    found = ops.convert_to_numpy(tokenizer.decode(probabilities))
    np.testing.assert_allclose(found, whole, atol=1e-5)
    tokenizer.encode_logits(np.zeros((1, 8, 8, 3), "float32"))


def test_gradients_of_decoding_in_strips_equal_the_whole_decoders(monkeypatch):
    tokens, updates = random_tokens(5), []
    target = np.zeros((2, 20, 12, 3), "float32")
    for min_rows in (2, 100):
        monkeypatch.setattr(strips, "_MIN_ROWS", min_rows)
        tokenizer = make_tokenizer()
        tokenizer.encoder.trainable = tokenizer.to_logits.trainable = False
        before = tokenizer.decoder.get_weights()
        inputs = keras.Input(batch_shape=(2, 5, 3), dtype="int32")
        model = keras.Model(inputs, _Decoded(tokenizer)(inputs))
        model.compile(keras.optimizers.SGD(1.0), "mse")
        model.train_on_batch(tokens, target)
        after = tokenizer.decoder.get_weights()
        updates.append([a - b for a, b in zip(after, before, strict=True)])
    assert max(np.abs(update).max() for update in updates[0]) > 1e-3
    for in_strips, whole in zip(*updates, strict=True):
        np.testing.assert_allclose(in_strips, whole, atol=1e-5)


class _Decoded(keras.layers.Layer):
    def __init__(self, tokenizer):
        super().__init__()
        self.tokenizer = tokenizer

    def call(self, tokens):
        return self.tokenizer.decode(tokens)
