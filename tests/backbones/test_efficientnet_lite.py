import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from gss_keras.backbones import EfficientNetLite

GOLDEN = pathlib.Path(__file__).parents[1] / "golden/efficientnet_lite0.npz"
STRIDES = (4, 8, 16, 32)


@pytest.fixture(scope="module")
def pretrained():
    return EfficientNetLite.from_preset("efficientnet_lite0")


@pytest.fixture(scope="module")
def small():
    return EfficientNetLite(width=0.25, depth=0.1)


def draw(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, "uint8")


def test_saves_and_loads(small, tmp_path):
    photos = draw(2, 33, 65, 3)
    expected = small.predict_on_batch(photos)
    small.save(tmp_path / "small.keras")
    loaded = keras.saving.load_model(tmp_path / "small.keras")
    assert loaded.get_config() == small.get_config()
    for stride, map_ in loaded.predict_on_batch(photos).items():
        np.testing.assert_array_equal(map_, expected[stride])


def test_eager_float_equals_compiled_integer(small):
    photos = draw(2, 33, 65, 3)
    compiled = small.predict_on_batch(photos)
    for stride, map_ in small(photos.astype("float32")).items():
        map_ = keras.ops.convert_to_numpy(map_)
        np.testing.assert_allclose(map_, compiled[stride], atol=1e-3)


def test_learns():
    keras.utils.set_random_seed(0)
    backbone = EfficientNetLite(width=0.25, depth=0.1)
    # Two positions alone would be normalized to -1 and 1, whatever they are.
    photos = draw(2, 64, 64, 3)
    targets = {32: np.random.default_rng(1).normal(size=(2, 2, 2, 80))}
    backbone.compile(keras.optimizers.SGD(1.0), {32: "mse"})
    before = backbone.get_weights()
    history = backbone.fit(photos, targets, batch_size=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    for a, b in zip(before, backbone.get_weights(), strict=True):
        assert np.any(a != b)


def test_shipped_weights_equal_the_pytorch_model(pretrained):
    with np.load(GOLDEN) as golden:
        received = pretrained.predict_on_batch(golden["photo"])
        for stride in STRIDES:
            expected = golden[f"float16_{stride}"]
            difference = np.abs(received[stride] - expected).max()
            assert difference < 1e-4 * expected.std()


def test_shipping_float16_costs_under_two_percent(pretrained):
    with np.load(GOLDEN) as golden:
        received = pretrained.predict_on_batch(golden["photo"])
        for stride in STRIDES:
            expected = golden[f"float32_{stride}"]
            difference = (received[stride] - expected).std()
            assert 0 < difference < 0.02 * expected.std()


def test_channels(pretrained):
    assert pretrained.channels == {4: 24, 8: 40, 16: 112, 32: 320}


@pytest.mark.parametrize(("height", "width"), [(1, 1), (31, 64), (40, 23)])
def test_any_size(small, height, width):
    photos = keras.KerasTensor((1, height, width, 3))
    features = small.compute_output_spec(photos)
    assert list(features) == list(STRIDES)
    for stride, map_ in features.items():
        size = (-(-height // stride), -(-width // stride))
        assert tuple(map_.shape) == (1, *size, small.channels[stride])


def test_freezing_keeps_the_statistics(small):
    frozen = EfficientNetLite.from_config(
        {**small.get_config(), "trainable": False}
    )
    assert EfficientNetLite.from_config(frozen.get_config()).trainable is False
    before = frozen.get_weights()
    frozen(draw(2, 33, 65, 3), training=True)
    for a, b in zip(before, frozen.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_frozen_layers_stay_as_they_are(tmp_path):
    backbone = EfficientNetLite(width=0.25, depth=0.1, frozen_stride=8)
    backbone.save(tmp_path / "frozen.keras")
    backbone = keras.saving.load_model(tmp_path / "frozen.keras")
    before = backbone.get_weights()
    photos = draw(2, 64, 64, 3)
    maps = backbone.predict_on_batch(photos)
    backbone.compile(
        keras.optimizers.SGD(1e-2, weight_decay=0.1),
        loss=dict.fromkeys(maps, "mse"),
    )
    backbone.fit(
        photos, {s: np.ones_like(m) for s, m in maps.items()}, verbose=0
    )
    after = backbone.predict_on_batch(photos)
    changed = {
        weight.path.split("/")[0]
        for weight, a, b in zip(
            backbone.weights, before, backbone.get_weights(), strict=True
        )
        if np.any(a != b)
    }
    assert changed
    assert all(int(name.split("_")[1]) > 2 for name in changed)
    for stride in STRIDES:
        is_same = np.array_equal(after[stride], maps[stride])
        assert is_same == (stride <= 8)


def test_freezing_at_an_unknown_stride_is_refused(small):
    with pytest.raises(ValueError, match="stride=2"):
        small.freeze_up_to(2)


def test_a_seed_draws_the_same_weights_on_every_backend():
    keras.utils.set_random_seed(0)
    kernel = EfficientNetLite(width=0.25).stem.convolution.get_weights()
    # Computed on JAX; the scale of the official release, sqrt(2 / fan out).
    np.testing.assert_allclose(
        kernel[0].ravel()[:2], [-0.00387054, -0.10036239], rtol=1e-5
    )
    assert kernel[0].std() == pytest.approx((2 / (9 * 32)) ** 0.5, rel=0.1)


def test_follows_the_policy_of_its_user():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        backbone = EfficientNetLite.from_preset("efficientnet_lite0")
    finally:
        keras.config.set_dtype_policy("float32")
    assert backbone.compute_dtype == "bfloat16"
    convolution = backbone.get_layer("block_3").expand.convolution
    assert convolution.compute_dtype == "bfloat16"
    assert EfficientNetLite(dtype="float32").get_config()["dtype"] == "float32"


@pytest.mark.parametrize("name", ["width", "depth"])
@pytest.mark.parametrize("value", [0, -1.0, "wide", None])
def test_a_bad_multiplier_is_refused(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be a positive number"):
        EfficientNetLite(**{name: value})


@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow", reason="it needs TensorFlow"
)
def test_loads_without_tensorflow():
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "from gss_keras.backbones import EfficientNetLite\n"
        "print(EfficientNetLite.from_preset('efficientnet_lite0').channels)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=pathlib.Path(__file__).parents[2],
        env=os.environ | {"KERAS_BACKEND": keras.backend.backend()},
    )
    assert finished.returncode == 0, finished.stderr
    assert "{4: 24, 8: 40, 16: 112, 32: 320}" in finished.stdout
