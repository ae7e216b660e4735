import keras
import numpy as np
import pytest
from keras import layers

from gss_keras.backbones import EfficientNetLite, FeaturePyramid, as_backbone


def draw(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, "uint8")


def make_backbone(padding="same"):
    """Maps of strides 4, 8, 8 and 16 in an order of no meaning."""
    x = photos = keras.Input((None, None, 3))
    maps = []
    for channels, stride in ((4, 4), (5, 2), (6, 1), (7, 2)):
        kernel = 3 if padding == "same" else stride
        x = layers.Conv2D(channels, kernel, stride, padding=padding)(x)
        maps.append(x)
    return keras.Model(photos, [maps[3], maps[0], maps[1], maps[2]])


def make_hub_resnet():
    keras_hub = pytest.importorskip("keras_hub")
    return keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 8, 16, 24],
        stackwise_num_blocks=[1, 1, 1, 1],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="basic_block",
    )


def make_hub_efficientnet():
    keras_hub = pytest.importorskip("keras_hub")
    return keras_hub.models.EfficientNetBackbone(
        stackwise_width_coefficients=[1.0] * 5,
        stackwise_depth_coefficients=[1.0] * 5,
        stackwise_num_repeats=[1] * 5,
        stackwise_kernel_sizes=[3, 3, 5, 3, 5],
        stackwise_input_filters=[32, 16, 24, 40, 80],
        stackwise_output_filters=[16, 24, 40, 80, 112],
        stackwise_expansion_ratios=[1, 6, 6, 6, 6],
        stackwise_strides=[1, 2, 2, 2, 2],
        stackwise_squeeze_and_excite_ratios=[0] * 5,
        stackwise_block_types=["v1"] * 5,
        stackwise_force_input_filters=[0] * 5,
        stackwise_nores_option=[False] * 5,
    )


def make_cv_resnet():
    keras_cv = pytest.importorskip("keras_cv")
    return keras_cv.models.ResNetV2Backbone(
        stackwise_filters=[4, 4, 8, 8],
        stackwise_blocks=[2, 2, 2, 2],
        stackwise_strides=[1, 2, 2, 2],
        include_rescaling=True,
    )


def make_cv_efficientnet():
    keras_cv = pytest.importorskip("keras_cv")
    return keras_cv.models.EfficientNetLiteBackbone(
        include_rescaling=True,
        stackwise_kernel_sizes=[3, 3, 5, 3, 5],
        stackwise_num_repeats=[1] * 5,
        stackwise_input_filters=[32, 16, 24, 40, 80],
        stackwise_output_filters=[16, 24, 40, 80, 112],
        stackwise_expansion_ratios=[1, 6, 6, 6, 6],
        stackwise_strides=[1, 2, 2, 2, 2],
        width_coefficient=1.0,
        depth_coefficient=1.0,
    )


def make_cv_mit():
    """Fixed to square photos; calls its maps P1 to P4."""
    keras_cv = pytest.importorskip("keras_cv")
    return keras_cv.models.MiTBackbone(
        include_rescaling=True,
        depths=[1, 1, 1, 1],
        embedding_dims=[4, 8, 10, 16],
        input_shape=(64, 64, 3),
    )


@pytest.mark.parametrize(
    ("make", "channels"),
    [
        (make_hub_resnet, [64, 8, 16, 24]),
        pytest.param(
            make_hub_efficientnet, [24, 40, 80, 1280], marks=pytest.mark.slow
        ),
        (make_cv_resnet, [16, 16, 32, 32]),
        (make_cv_efficientnet, [24, 40, 80, 1280]),
        pytest.param(make_cv_mit, [4, 8, 10, 16], marks=pytest.mark.slow),
    ],
)
def test_backbones_of_other_libraries(make, channels, tmp_path):
    original = make()
    backbone = as_backbone(original)
    assert backbone.channels == dict(zip((4, 8, 16, 32), channels, strict=True))

    height, width = original.inputs[0].shape[1:3]
    photos = draw(1, height or 65, width or 97, 3)
    # Symbolic where compiling would take most of a minute.
    if make in (make_hub_resnet, make_cv_resnet):
        features = backbone.predict_on_batch(photos)
        assert all(map_.std() > 0 for map_ in features.values())
    else:
        features = backbone.compute_output_spec(keras.KerasTensor(photos.shape))
    for stride, map_ in features.items():
        size = (-(-photos.shape[1] // stride), -(-photos.shape[2] // stride))
        expected = (1, *size, backbone.channels[stride])
        assert all(
            a in (b, None) for a, b in zip(map_.shape, expected, strict=True)
        )

    backbone.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.channels == backbone.channels
    for a, b in zip(loaded.get_weights(), backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("make", [make_hub_resnet, make_cv_resnet])
def test_backbones_of_other_libraries_learn(make):
    backbone = as_backbone(make(), strides=(4,))
    photos = draw(2, 8, 8, 3).astype("float32")
    targets = {4: np.ones((2, 2, 2, backbone.channels[4]), "float32")}
    backbone.compile("sgd", {4: "mse"})
    before = [np.array(v) for v in backbone.trainable_variables]
    history = backbone.fit(photos, targets, batch_size=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    for a, b in zip(before, backbone.trainable_variables, strict=True):
        assert np.any(a != keras.ops.convert_to_numpy(b))


def test_sorts_by_stride_and_takes_the_last():
    backbone = FeaturePyramid(make_backbone(), strides=(4, 8, 16))
    assert backbone.channels == {4: 4, 8: 6, 16: 7}
    features = backbone(draw(1, 17, 33, 3))
    assert tuple(features[16].shape) == (1, 2, 3, 7)


def test_scale_and_offset_come_before_the_backbone():
    original = make_backbone()
    backbone = FeaturePyramid(
        original, strides=(4,), scale=[0.1, 0.2, 0.3], offset=[1.0, 0.0, -1.0]
    )
    photos = draw(1, 8, 8, 3)
    pixels = photos * np.array([0.1, 0.2, 0.3]) + np.array([1.0, 0.0, -1.0])
    expected = original.predict_on_batch(pixels.astype("float32"))[1]
    received = backbone.predict_on_batch(photos)[4]
    np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-4)


def test_saves_and_loads(tmp_path):
    backbone = FeaturePyramid(
        make_backbone(), strides=(8, 4), scale=[0.1, 0.2, 0.3], name="mine"
    )
    photos = draw(1, 32, 48, 3)
    expected = backbone.predict_on_batch(photos)
    backbone.save_to_preset(tmp_path / "preset")
    loaded = FeaturePyramid.from_preset(tmp_path / "preset")
    assert loaded.get_config()["scale"] == [0.1, 0.2, 0.3]
    assert list(loaded.channels) == [8, 4]
    for stride, map_ in loaded.predict_on_batch(photos).items():
        np.testing.assert_array_equal(map_, expected[stride])


def test_leaves_out_what_the_maps_do_not_need():
    backbone = FeaturePyramid(make_backbone(), strides=(4,))
    assert len(backbone.trainable_variables) == 2


@pytest.mark.parametrize("is_trainable", [True, False])
def test_trainable_reaches_the_backbone(is_trainable):
    backbone = FeaturePyramid(
        make_backbone(), strides=(4, 8), trainable=is_trainable
    )
    backbone = FeaturePyramid.from_config(backbone.get_config())
    assert len(backbone.trainable_variables) == 6 * is_trainable


def test_as_backbone_keeps_what_fits():
    backbone = EfficientNetLite(width=0.25, depth=0.1)
    assert as_backbone(backbone) is backbone
    pyramid = FeaturePyramid(make_backbone(), strides=(4, 8))
    assert as_backbone(pyramid, strides=(8,)) is pyramid
    with pytest.raises(
        ValueError, match=r"`backbone` must .* strides \[4, 8\]"
    ):
        as_backbone(pyramid)


def test_takes_some_levels_of_a_backbone_of_this_package(tmp_path):
    backbone = EfficientNetLite(width=0.25, depth=0.1)
    pyramid = FeaturePyramid(backbone, strides=(8, 16))
    photos = draw(1, 33, 35, 3)
    expected = backbone.predict_on_batch(photos)
    pyramid.save_to_preset(tmp_path / "preset")
    loaded = FeaturePyramid.from_preset(tmp_path / "preset")
    for stride, map_ in loaded.predict_on_batch(photos).items():
        np.testing.assert_array_equal(map_, expected[stride])


def test_backbones_work_within_functional_models(tmp_path):
    backbone = EfficientNetLite(width=0.25, depth=0.1)
    photos = keras.Input((None, None, 3))
    features = backbone(photos)
    assert features[8].shape == (None, None, None, backbone.channels[8])
    model = keras.Model(photos, list(features.values()))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    expected = backbone.predict_on_batch(draw(1, 33, 35, 3))
    found = loaded.predict_on_batch(draw(1, 33, 35, 3).astype("float32"))
    for map_, stride in zip(found, expected, strict=True):
        np.testing.assert_allclose(map_, expected[stride], atol=1e-5)


def test_a_lacking_stride_is_refused():
    with pytest.raises(
        ValueError,
        match=r"`backbone` must give feature maps of strides \(4, 8, 16, 32\)"
        r".*Received: a Functional named .* with strides \[4, 8, 16\]",
    ):
        as_backbone(make_backbone())


@pytest.mark.parametrize(("height", "width"), [(64, 32), (63, 33), (1, 20)])
def test_photos_are_padded_where_maps_round_down(height, width):
    original = make_backbone("valid")
    backbone = FeaturePyramid(original, strides=(4, 16), offset=1.0)
    photos = draw(1, height, width, 3)
    down, right = -height % 16, -width % 16
    padded = np.pad(
        photos + np.float32(1), [(0, 0), (0, down), (0, right), (0, 0)]
    )
    expected = original.predict_on_batch(padded)[1]
    received = backbone.predict_on_batch(photos)[4]
    assert received.shape == (1, -(-height // 4), -(-width // 4), 4)
    expected = expected[:, : received.shape[1], : received.shape[2]]
    np.testing.assert_allclose(received, expected, atol=1e-4)


class Subclassed(keras.Model):
    pass


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: "resnet50", "`backbone` must be a model of .*'resnet50'"),
        (lambda: None, "`backbone` must be a model of .* of type"),
        (Subclassed, "`backbone` must be a functional model"),
        (
            lambda: keras.Sequential([keras.Input((4,)), layers.Dense(3)]),
            r"`backbone` must have one input .*\[\(None, 4\)\]",
        ),
        (
            lambda: keras.Sequential(
                [keras.Input((None, None, 3)), layers.GlobalMaxPooling2D()]
            ),
            r"`backbone` must give .* strides \[\] among 1 outputs",
        ),
    ],
)
def test_anything_else_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        as_backbone(make())
