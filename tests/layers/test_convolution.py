import copy
import pickle

import keras
import numpy as np
import pytest
from keras import ops
from layer_checks import check_layer

from gss_keras.backbones import EfficientNetLite
from gss_keras.layers.convolution import Conv2D
from gss_keras.tokenizer.discrete_vae import DiscreteVAE

ARGUMENTS = [
    {"kernel_size": 3, "padding": "same"},
    {"kernel_size": 3, "padding": "same", "dilation_rate": 2},
    {"kernel_size": (1, 5), "padding": "same", "use_bias": False},
    {"kernel_size": 1, "activation": "relu"},
    {"kernel_size": 1, "strides": 2},
    {"kernel_size": 4, "padding": "valid", "strides": 3},
    {"kernel_size": 2, "padding": "same"},
    {"kernel_size": 3, "padding": "same", "strides": 2},
    {"kernel_size": 3, "padding": "same", "groups": 2},
]


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
def test_it_is_keras_own(arguments):
    features = np.random.default_rng(0).normal(size=(2, 9, 7, 4))
    features = features.astype("float32")
    ours, theirs = (
        kind(6, **arguments) for kind in (Conv2D, keras.layers.Conv2D)
    )
    for layer in (ours, theirs):
        layer.build(features.shape)
    weights = [0.1 + w for w in ours.get_weights()]
    for layer in (ours, theirs):
        layer.set_weights(weights)
    np.testing.assert_allclose(
        ops.convert_to_numpy(ours(features)),
        ops.convert_to_numpy(theirs(features)),
        atol=1e-5,
    )


def test_it_in_every_way_a_layer_is_run(tmp_path):
    features = np.random.default_rng(0).normal(size=(2, 9, 7, 4))
    arguments = {"filters": 6, "kernel_size": 3, "padding": "same"}
    check_layer(
        Conv2D, arguments, features.astype("float32"), (2, 9, 7, 6), tmp_path
    )


@pytest.fixture
def layer():
    layer = Conv2D(5, 3, padding="same")
    layer.build((None, None, None, 4))
    return layer


def lies_filter_by_filter(layer):
    """Tell how a kernel lies in PyTorch's memory; elsewhere all is well."""
    if keras.backend.backend() != "torch":
        return True
    return layer.kernel.value.permute(3, 0, 1, 2).is_contiguous()


def check(layer):
    """Compare a layer to Keras' own, which has no order of its own."""
    other = keras.layers.Conv2D(5, 3, padding="same")
    other.build((None, None, None, 4))
    other.set_weights(layer.get_weights())
    features = np.random.default_rng(0).normal(size=(1, 6, 5, 4))
    features = ops.convert_to_tensor(features.astype("float32"))
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(features)),
        ops.convert_to_numpy(other(features)),
        atol=1e-5,
    )
    assert lies_filter_by_filter(layer)


def test_kernels_stay_in_order_whatever_is_assigned(layer):
    check(layer)
    layer.kernel.assign(np.random.default_rng(1).normal(size=(3, 3, 4, 5)))
    check(layer)
    layer.kernel.assign_add(ops.ones((3, 3, 4, 5)))
    check(layer)
    layer.set_weights([0.5 * weight for weight in layer.get_weights()])
    check(layer)
    layer.trainable = False
    layer.kernel.assign(ops.ones((3, 3, 4, 5)))
    layer.trainable = True
    check(layer)


def test_kernels_stay_in_order_in_copies_and_files(layer, tmp_path):
    model = keras.Sequential([layer])
    model.build((None, None, None, 4))
    for copied in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        np.testing.assert_array_equal(
            copied.get_weights()[0], layer.get_weights()[0]
        )
        check(copied)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    (loaded,) = keras.saving.load_model(tmp_path / "model.keras").layers
    np.testing.assert_array_equal(
        loaded.get_weights()[0], layer.get_weights()[0]
    )
    check(loaded)
    layer.kernel.assign(ops.zeros((3, 3, 4, 5)))
    model.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(
        loaded.get_weights()[0], layer.get_weights()[0]
    )
    check(layer)


def test_kernels_stay_in_order_in_training():
    features = np.random.default_rng(0).normal(size=(2, 6, 5, 4))
    targets = np.zeros((2, 6, 5, 5), "float32")
    results = []
    for layer_class in (Conv2D, keras.layers.Conv2D):
        keras.utils.set_random_seed(0)
        layer = layer_class(5, 3, padding="same")
        model = keras.Sequential([layer])
        model.compile(keras.optimizers.AdamW(0.01), "mean_squared_error")
        model.fit(
            features.astype("float32"), targets, 1, 3, verbose=0, shuffle=False
        )
        results.append(layer.get_weights()[0])
    np.testing.assert_allclose(*results, atol=1e-5)


def test_kernels_lie_in_order_in_whole_models():
    tokenizer = DiscreteVAE(
        codebook_size=9, hidden=8, groups=2, blocks=1, decoder_initial=4
    )
    models = tokenizer, EfficientNetLite(width=0.25, depth=0.25)
    layers = [layer for model in models for layer in model._flatten_layers()]
    kinds = [layer for layer in layers if isinstance(layer, Conv2D)]
    assert len(kinds) > 20
    assert all(map(lies_filter_by_filter, kinds))
