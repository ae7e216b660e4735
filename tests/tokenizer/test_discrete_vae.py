import pathlib

import keras
import numpy as np
import pytest
from keras import ops

from gss_keras.tokenizer.blocks import MaxPool2x2
from gss_keras.tokenizer.discrete_vae import DiscreteVAE
from weights_conversion.dalle import load_weights

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "dalle_vae.npz"
SMALL = {
    "codebook_size": 24,
    "hidden": 8,
    "groups": 3,
    "blocks": 1,
    "decoder_initial": 6,
}


def channels_last(array):
    return array.transpose(0, 2, 3, 1)


@pytest.fixture(scope="module")
def golden():
    """Load the golden file; kernels are stored as integers times a step."""
    arrays = dict(np.load(GOLDEN))
    for name in [name for name in arrays if name.startswith("step/")]:
        kernel = "sd/" + name.removeprefix("step/")
        arrays[kernel] = arrays[kernel].astype("float32") * arrays[name]
    return arrays


@pytest.fixture(scope="module")
def dalle(golden):
    tokenizer = DiscreteVAE(codebook_size=512, hidden=64, decoder_initial=16)
    load_weights(tokenizer, lambda name: golden[f"sd/{name}"])
    return tokenizer


@pytest.mark.parametrize("case", ["sq", "rect"])
def test_golden_logits_and_tokens(case, golden, dalle):
    maskige = channels_last(golden[f"in/{case}/image01"])
    expected = channels_last(golden[f"out/{case}/enc_logits"])
    logits = ops.convert_to_numpy(dalle.encode_logits(maskige))
    tolerance = 1e-4 * expected.std()
    np.testing.assert_allclose(logits, expected, rtol=0, atol=tolerance)
    tokens = ops.convert_to_numpy(dalle.encode(maskige))
    is_clear = golden[f"out/{case}/enc_margin"] > 2 * tolerance
    assert is_clear.mean() > 0.99
    indices = golden[f"out/{case}/enc_indices"]
    np.testing.assert_array_equal(tokens[is_clear], indices[is_clear])


@pytest.mark.parametrize("case", ["sq", "rect"])
def test_golden_decoded_tokens(case, golden, dalle):
    expected = channels_last(golden[f"out/{case}/rand_dec_image01"])
    maskige = dalle.decode(golden[f"in/{case}/rand_indices"])
    np.testing.assert_allclose(
        ops.convert_to_numpy(maskige),
        expected,
        rtol=0,
        atol=1e-4 * expected.std(),
    )


def test_golden_decoded_probabilities(golden, dalle):
    logits = channels_last(golden["out/rect/enc_logits"])
    expected = channels_last(golden["out/rect/dec_soft_out"])
    features = dalle.lookup(ops.softmax(ops.convert_to_tensor(logits)))
    outputs = ops.convert_to_numpy(dalle.decoder(features))
    np.testing.assert_allclose(
        outputs, expected, rtol=0, atol=1e-4 * expected.std()
    )


def test_equals_the_dall_e_package():
    """Compare with the released modules with random weights."""
    torch = pytest.importorskip("torch")
    decoder_module = pytest.importorskip("dall_e.decoder")
    encoder_module = pytest.importorskip("dall_e.encoder")
    torch.manual_seed(0)
    sizes = {"n_hid": 32, "vocab_size": 40}
    encoder = encoder_module.Encoder(
        **sizes, device="cpu", use_mixed_precision=False
    )
    decoder = decoder_module.Decoder(
        **sizes, n_init=8, use_mixed_precision=False
    )
    weights = {f"encoder.{k}": v for k, v in encoder.state_dict().items()}
    weights |= {f"decoder.{k}": v for k, v in decoder.state_dict().items()}
    tokenizer = DiscreteVAE(codebook_size=40, hidden=32, decoder_initial=8)
    load_weights(tokenizer, lambda name: weights[name].cpu().numpy())

    maskige = np.random.default_rng(0).uniform(size=(1, 16, 24, 3))
    maskige = maskige.astype("float32")
    pixels = torch.tensor(0.8 * maskige.transpose(0, 3, 1, 2) + 0.1)
    with torch.no_grad():
        logits = encoder(pixels)
        one_hot = torch.nn.functional.one_hot(logits.argmax(1), 40)
        decoded = torch.sigmoid(decoder(one_hot.permute(0, 3, 1, 2).float()))
    expected = channels_last(logits.numpy())
    np.testing.assert_allclose(
        ops.convert_to_numpy(tokenizer.encode_logits(maskige)),
        expected,
        rtol=0,
        atol=1e-4 * expected.std(),
    )
    expected = np.clip(
        (channels_last(decoded.numpy())[..., :3] - 0.1) / 0.8, 0, 1
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(tokenizer(maskige)),
        expected,
        rtol=0,
        atol=1e-4 * expected.std(),
    )


def test_tokens_are_the_argmax_of_the_logits():
    tokenizer = DiscreteVAE(**SMALL)
    maskige = keras.random.uniform((2, 12, 20, 3), seed=1)
    logits = ops.convert_to_numpy(tokenizer.encode_logits(maskige))
    tokens = ops.convert_to_numpy(tokenizer.encode(maskige))
    assert tokens.shape == (2, 3, 5)
    assert tokens.dtype == "int32"
    np.testing.assert_array_equal(tokens, logits.argmax(-1))


def test_one_hot_tokens_are_decoded_like_tokens():
    tokenizer = DiscreteVAE(**SMALL)
    tokens = np.arange(24).reshape(1, 4, 6)
    maskige = ops.convert_to_numpy(tokenizer.decode(tokens))
    probabilities = np.eye(24, dtype="float32")[tokens]
    from_probabilities = ops.convert_to_numpy(tokenizer.decode(probabilities))
    assert maskige.shape == (1, 16, 24, 3)
    assert maskige.min() >= 0 and maskige.max() <= 1
    assert maskige.std() > 1e-3
    np.testing.assert_allclose(maskige, from_probabilities, atol=1e-5)


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_stride_depends_on_the_number_of_groups(groups):
    tokenizer = DiscreteVAE(**(SMALL | {"groups": groups}))
    assert tokenizer.stride == 2 ** (groups - 1)
    tokens = tokenizer.encode(ops.zeros((1, 8, 8, 3)))
    assert tuple(tokens.shape) == (1, *[8 // tokenizer.stride] * 2)


def test_predictions_are_the_same_after_loading(tmp_path):
    sizes = SMALL | {"width_multipliers": [1, 3, 4], "output_channels": 3}
    tokenizer = DiscreteVAE(**sizes, input_kernel=3, residual_gain=0.5)
    maskige = np.random.default_rng(0).uniform(size=(1, 8, 12, 3))
    expected = tokenizer.predict(maskige, verbose=0)
    tokenizer.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == tokenizer.get_config()
    np.testing.assert_allclose(
        loaded.predict(maskige, verbose=0), expected, atol=1e-5
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"codebook_size": 0}, "`codebook_size` must be a positive integer"),
        ({"groups": 2.5}, "`groups` must be a positive integer"),
        ({"hidden": 6}, "`filters` must be a positive multiple of 4"),
        ({"output_channels": 2}, "`output_channels` must be at least 3"),
        ({"width_multipliers": (1, 2)}, "`width_multipliers` must hold one"),
    ],
)
def test_invalid_arguments_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        DiscreteVAE(**(SMALL | arguments))


def test_invalid_maskiges_are_errors():
    tokenizer = DiscreteVAE(**SMALL)
    with pytest.raises(ValueError, match="multiples of the stride 4"):
        tokenizer.encode(ops.zeros((1, 8, 10, 3)))
    with pytest.raises(ValueError, match=r"shape \(batch, height, width, 3\)"):
        tokenizer.encode(ops.zeros((8, 8, 3)))


@pytest.mark.parametrize("size", [(6, 4), (7, 5)])
def test_max_pooling_and_its_gradients_equal_keras(size):
    maps = np.random.default_rng(0).normal(size=(2, *size, 3))
    maps = maps.astype("float32")
    pooled = MaxPool2x2()(ops.convert_to_tensor(maps))
    expected = keras.layers.MaxPooling2D(2)(maps)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(pooled), ops.convert_to_numpy(expected)
    )
    kernels = []
    for layer in (MaxPool2x2(), keras.layers.MaxPooling2D(2)):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [keras.layers.Conv2D(2, 1, name="convolution"), layer]
        )
        model.compile(keras.optimizers.SGD(0.1), "mean_squared_error")
        model.fit(maps, 0 * ops.convert_to_numpy(expected)[..., :2], verbose=0)
        kernels.append(model.get_weights()[0])
    np.testing.assert_allclose(*kernels, atol=1e-6)


def test_max_pooling_is_registered_under_its_earlier_name():
    config = {
        "module": "gss_keras.tokenizer.blocks",
        "class_name": "Halving",
        "config": {"name": "halving"},
        "registered_name": "gss_keras>Halving",
    }
    layer = keras.saving.deserialize_keras_object(config)
    assert isinstance(layer, MaxPool2x2)
