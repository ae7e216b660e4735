import keras
import numpy as np
import pytest

from weights_conversion import porting


def test_a_tensor_is_taken_once():
    source = porting.Source({"weight": np.ones(2)})
    source.take("weight")
    with pytest.raises(ValueError, match="no tensor `weight`, or it was taken"):
        source.take("weight")


def test_a_tensor_left_over_is_an_error():
    source = porting.Source({"weight": np.ones(2), "bias": np.ones(2)})
    source.discard("weight")
    with pytest.raises(ValueError, match=r"Received: \['bias'\] left over"):
        source.require_empty()


def test_the_error_for_a_wrong_shape_names_the_layer():
    layer = keras.layers.Conv2D(4, 3, name="wanted")
    layer.build((None, None, None, 2))
    source = porting.Source({"c.weight": np.ones((4, 5, 3, 3))})
    source._tensors["c.bias"] = np.ones(4)
    with pytest.raises(ValueError, match="layer `wanted` must have the shapes"):
        porting.port_convolution(source, "c", layer)


@pytest.mark.parametrize("kind", ["convolution", "depthwise", "norm"])
def test_a_ported_layer_matches_the_original(kind):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    original, layer, port = {
        "convolution": (
            torch.nn.Conv2d(3, 5, (2, 3)),
            keras.layers.Conv2D(5, (2, 3)),
            porting.port_convolution,
        ),
        "depthwise": (
            torch.nn.Conv2d(3, 3, (2, 3), groups=3, bias=False),
            keras.layers.DepthwiseConv2D((2, 3), use_bias=False),
            porting.port_depthwise_convolution,
        ),
        "norm": (
            torch.nn.BatchNorm2d(3),
            keras.layers.BatchNormalization(epsilon=1e-5),
            porting.port_batch_normalization,
        ),
    }[kind]
    if kind == "norm":
        for tensor in original.state_dict().values():
            tensor.copy_(torch.rand(tensor.shape) + 0.5)
    original.eval()
    layer.build((None, None, None, 3))
    tensors = {
        f"x.{name}": value.numpy()
        for name, value in original.state_dict().items()
    }
    source = porting.Source(tensors)
    port(source, "x", layer)
    source.require_empty()

    inputs = np.random.default_rng(0).normal(size=(2, 6, 7, 3))
    inputs = inputs.astype("float32")
    with torch.no_grad():
        expected = original(torch.from_numpy(inputs).permute(0, 3, 1, 2))
    received = layer(inputs)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(received),
        expected.permute(0, 2, 3, 1).numpy(),
        atol=1e-5,
    )


def test_a_weight_without_a_tensor_is_an_error():
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(2), keras.layers.Dense(2)]
    )
    tensors = {"a.weight": np.ones((2, 2)), "a.bias": np.ones(2)}
    with pytest.raises(ValueError, match=r"must be filled.*dense.*/kernel"):
        porting.port_layers(
            porting.Source(tensors), model, {"a": model.layers[0]}
        )
    assert np.any(model.layers[0].get_weights()[0] != 1)
    porting.port_layers(
        porting.Source(tensors),
        model,
        {"a": model.layers[0]},
        kept=[model.layers[1]],
    )
    assert np.all(model.layers[0].get_weights()[0] == 1)


def test_a_layer_is_assigned_once():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    tensors = {
        f"{prefix}.{name}": np.ones(shape)
        for prefix in "ab"
        for name, shape in (("weight", (2, 2)), ("bias", 2))
    }
    layers = dict.fromkeys("ab", model.layers[0])
    with pytest.raises(ValueError, match="be filled once"):
        porting.port_layers(porting.Source(tensors), model, layers)
