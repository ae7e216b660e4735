import keras
import numpy as np
import pytest
from keras import ops
from layer_checks import check_layer

from gss_keras.layers.convolution import Conv2D

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
