"""The tokenizer in strips against its models as a whole."""

import keras
import numpy as np
import pytest
from keras import ops

from gss_keras.export import elsewhere
from gss_keras.ops import strips
from gss_keras.tokenizer.discrete_vae import DiscreteVAE

SIZES = {
    "like DALL-E's": {"blocks": 2},
    "of patches": {"blocks": 1, "patch": 3, "input_kernel": 8},
    "of two groups": {"groups": 2, "encoder_blocks": 3, "input_kernel": 3},
    "of one group": {"groups": 1, "patch": 4, "input_kernel": 12},
}


@pytest.fixture(autouse=True)
def strips_are_short(monkeypatch):
    monkeypatch.setattr(strips, "_FEWEST", 2)
    monkeypatch.setattr(strips, "_HELD", 1)


def tokenizer_of(**sizes):
    keras.utils.set_random_seed(0)
    common = {
        "codebook_size": 24,
        "hidden": 8,
        "groups": 3,
        "blocks": 1,
        "decoder_initial": 6,
        # What happens at the ends of a strip must not be lost in rounding.
        "residual_gain": 1.0,
    }
    return DiscreteVAE(**(common | sizes))


def tokens_of(height, width=3, batch=2):
    shape = batch, height, width
    return np.random.default_rng(0).integers(0, 24, shape).astype("int32")


def ways_to_run(function, *shape, dtype):
    """Return the function, and as `predict` runs it at sizes met later."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        spec = tf.TensorSpec(shape, dtype)
        return function, tf.function(function, input_signature=[spec])
    if keras.backend.backend() == "jax":
        import jax

        return (jax.jit(function),)
    return (function,)


@pytest.mark.parametrize("name", SIZES)
def test_decoded_in_strips(name):
    tokenizer = tokenizer_of(**SIZES[name])
    ways = ways_to_run(tokenizer.decode, None, None, None, dtype="int32")
    for height in (1, 5):
        tokens = ops.convert_to_tensor(tokens_of(height))
        whole = tokenizer.decode_features(tokenizer.lookup(tokens))
        whole = np.clip(ops.convert_to_numpy(whole), 0, 1)
        assert whole.std() > 1e-2
        for way in ways:
            found = ops.convert_to_numpy(way(tokens))
            np.testing.assert_allclose(found, whole, atol=1e-5)


@pytest.mark.parametrize("name", SIZES)
def test_encoded_in_strips(name):
    tokenizer = tokenizer_of(**SIZES[name])
    # Sure of its tokens, whatever is rounded.
    generator = np.random.default_rng(0)
    tokenizer.to_logits.kernel.assign(
        generator.normal(size=tokenizer.to_logits.kernel.shape)
    )
    ways = ways_to_run(tokenizer.encode, None, None, None, 3, dtype="float32")
    for rows in (1, 5):
        shape = 2, rows * tokenizer.stride, 3 * tokenizer.stride, 3
        maskige = generator.uniform(size=shape).astype("float32")
        maskige = ops.convert_to_tensor(maskige)
        logits = ops.convert_to_numpy(tokenizer.encode_logits(maskige))
        first, second = np.sort(logits, axis=-1)[..., :-3:-1].transpose(
            3, 0, 1, 2
        )
        is_clear = first - second > 1e-3
        assert is_clear.mean() > 0.9
        for way in ways:
            found = ops.convert_to_numpy(way(maskige))
            assert found.dtype == "int32"
            np.testing.assert_array_equal(
                found[is_clear], logits.argmax(-1)[is_clear]
            )


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="of TensorFlow"
)
@pytest.mark.slow
def test_onnx_runtime_decodes_in_strips(tmp_path):
    pytest.importorskip("tf2onnx")
    runtime = pytest.importorskip("onnxruntime")
    tokenizer = tokenizer_of()
    archive = keras.export.ExportArchive()
    archive.track(tokenizer)
    spec = keras.InputSpec("int32", (None, None, None), name="tokens")
    archive.add_endpoint("serve", tokenizer.decode, input_signature=[spec])
    archive.write_out(str(tmp_path / "model"), verbose=False)
    elsewhere.convert_to_onnx(tmp_path / "model", tmp_path / "model.onnx")
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    for height in (1, 5, 12):
        tokens = tokens_of(height)
        (found,) = session.run(None, {"tokens": tokens})
        whole = tokenizer.decode(np.eye(24, dtype="float32")[tokens])
        np.testing.assert_allclose(found, whole, atol=1e-5)


def test_probabilities_are_decoded_as_a_whole(monkeypatch):
    tokenizer = tokenizer_of()
    whole = ops.convert_to_numpy(tokenizer.decode(tokens_of(5)))

    # Whoever asks for strips would have to call None.
    for name in ("paint", "describe"):
        monkeypatch.setattr(f"gss_keras.tokenizer.discrete_vae.{name}", None)
    probabilities = np.eye(24, dtype="float32")[tokens_of(5)]
    found = ops.convert_to_numpy(tokenizer.decode(probabilities))
    np.testing.assert_allclose(found, whole, atol=1e-5)
    tokenizer.encode_logits(np.zeros((1, 8, 8, 3), "float32"))


def test_a_decoder_learns_the_same_in_strips(monkeypatch):
    tokens, learned = tokens_of(5), []
    goal = np.zeros((2, 20, 12, 3), "float32")
    for fewest in (2, 100):
        monkeypatch.setattr(strips, "_FEWEST", fewest)
        tokenizer = tokenizer_of()
        tokenizer.encoder.trainable = tokenizer.to_logits.trainable = False
        before = tokenizer.decoder.get_weights()
        inputs = keras.Input(batch_shape=(2, 5, 3), dtype="int32")
        model = keras.Model(inputs, _Decoded(tokenizer)(inputs))
        model.compile(keras.optimizers.SGD(1.0), "mse")
        model.train_on_batch(tokens, goal)
        after = tokenizer.decoder.get_weights()
        learned.append([a - b for a, b in zip(after, before, strict=True)])
    assert max(np.abs(change).max() for change in learned[0]) > 1e-3
    for in_strips, whole in zip(*learned, strict=True):
        np.testing.assert_allclose(in_strips, whole, atol=1e-5)


class _Decoded(keras.layers.Layer):
    def __init__(self, tokenizer):
        super().__init__()
        self.tokenizer = tokenizer

    def call(self, tokens):
        return self.tokenizer.decode(tokens)
