"""Presets of format 1, saved when backbones and heads were functional."""

import pathlib
import zipfile

import h5py
import keras
import numpy as np
import pytest
from tiny import tiny_data

import gss_keras
from gss_keras import backbones
from gss_keras.saving.named_weights import arranged

# Files and names are the same whatever computes.
pytestmark = pytest.mark.any_backend

FOLDER = pathlib.Path(__file__).parent / "format_1"
# Each with kernels in float16; `expected.npz` has what earlier code computed.
CLASSES = {
    "efficientnet_lite": backbones.EfficientNetLite,
    "resnet_v1c": backbones.ResNetV1c,
    "hrnet": backbones.HRNetV2,
    "swin": backbones.SwinTransformer,
    "fcn": gss_keras.DiscriminativeSegmenter,
    "segformer": gss_keras.DiscriminativeSegmenter,
    "deeplab_v3_plus": gss_keras.DiscriminativeSegmenter,
    "gss_swin": gss_keras.GenerativeSegmenter,
    "gss_conv": gss_keras.GenerativeSegmenter,
}


def unpack(name, folder):
    with zipfile.ZipFile(FOLDER / f"{name}.zip") as archive:
        archive.extractall(folder)
    return folder


def check_outputs(name, model):
    photos = tiny_data()[0][:1]
    if hasattr(model, "predict_logits"):
        found = {name: model.predict_logits(photos)[:, ::8, ::8]}
    else:
        found = {
            f"{name}_{stride}": map_[:, ::2, ::2]
            for stride, map_ in model.predict_on_batch(photos).items()
        }
    with np.load(FOLDER / "expected.npz") as expected:
        for key, array in found.items():
            np.testing.assert_allclose(
                array, expected[key], atol=1e-4 * np.abs(expected[key]).max()
            )


@pytest.mark.parametrize("name", CLASSES)
def test_presets_of_format_1_give_the_same_outputs(name, tmp_path):
    model = CLASSES[name].from_preset(unpack(name, tmp_path))
    check_outputs(name, model)
    # Saved again, it has the present layout.
    model.save_to_preset(tmp_path / "again")
    check_outputs(name, CLASSES[name].from_preset(tmp_path / "again"))


@pytest.mark.parametrize("name", ["resnet_v1c", "fcn"])
def test_a_weight_file_alone_loads(name, tmp_path):
    folder = unpack(name, tmp_path)
    # The names of the model and of what Keras names differ.
    model = CLASSES[name].from_preset(folder, load_weights=False)
    config = {**model.get_config(), "name": "another"}
    model = CLASSES[name].from_config(config)
    model.load_weights(folder / "model.weights.h5")
    check_outputs(name, model)


def test_an_optimizer_is_left_alone(tmp_path):
    folder = unpack("fcn", tmp_path)
    path = folder / "model.weights.h5"
    with h5py.File(path, "a") as file:
        file["optimizer/vars/0"] = np.int32(7)
    check_outputs("fcn", CLASSES["fcn"].from_preset(folder))


def test_mismatches_are_named(tmp_path):
    folder = unpack("resnet_v1c", tmp_path)
    path = folder / "model.weights.h5"
    model = backbones.ResNetV1c(50, stem_channels=6, base_channels=1)
    with (
        pytest.raises(ValueError, match=r"_conv_1/0 must have the shape"),
        arranged(model, path),
    ):
        pass
    model = backbones.EfficientNetLite(width=0.1, depth=0.1)
    with (
        pytest.raises(ValueError, match="left over, .*:block_0_depthwise/0"),
        arranged(model, path),
    ):
        pass
    with pytest.raises(ValueError, match="could not be loaded"):
        model.load_weights(path)
    with h5py.File(path, "a") as file:
        del file["layers/convolution_block/convolution/vars/0"]
    with pytest.raises(ValueError, match=r"belongs to another model"):
        backbones.ResNetV1c.from_preset(folder)


def test_two_layers_of_one_name_raise(tmp_path):
    def build(layer_class):
        layers = [layer_class(3, name="same"), keras.layers.Dense(3)]
        return keras.Sequential([keras.Input((3,)), *layers])

    build(keras.layers.Dense).save_weights(tmp_path / "a.weights.h5")
    with h5py.File(tmp_path / "a.weights.h5", "a") as file:
        file["layers/dense_1/vars"].attrs["name"] = "same"
        file.move("layers/dense_1", "layers/other")
        file.move("layers/dense", "layers/another")
    model = build(keras.layers.Dense)
    with (
        pytest.raises(ValueError, match="must be distinct"),
        arranged(model, tmp_path / "a.weights.h5"),
    ):
        pass
