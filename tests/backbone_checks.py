"""Generic tests of backbones."""

import keras
import numpy as np

STRIDES = (4, 8, 16, 32)
# No normalization, since the golden inputs are already normalized.
IDENTITY = {"pixel_mean": (0.0, 0.0, 0.0), "pixel_deviation": (1.0, 1.0, 1.0)}


def read_golden(path):
    """Split a golden file into weights, inputs and outputs.

    Returns:
        Three dicts: from weight name to array, from case to photos, and from
        case to the list of four feature maps, all channels last.
    """
    with np.load(path) as arrays:
        weights = {
            name.removeprefix("sd/"): arrays[name]
            for name in arrays.files
            if name.startswith("sd/")
        }
        inputs = {
            name.removeprefix("in/"): _channels_last(arrays[name])
            for name in arrays.files
            if name.startswith("in/")
        }
        outputs = {
            case: [
                _channels_last(arrays[f"out/{case}/stage{stage}"])
                for stage in range(4)
            ]
            for case in inputs
        }
    return weights, inputs, outputs


def _channels_last(array):
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1))


def run(backbone, photos):
    """Compute the feature maps as NumPy arrays, in the mode fastest to start.

    On TensorFlow, tracing takes ten times as long as one eager run; JAX
    compiles either the whole model or each operation, which is slower.
    """
    if keras.backend.backend() == "jax":
        return backbone.predict_on_batch(photos)
    maps = backbone(photos, training=False)
    return {k: keras.ops.convert_to_numpy(v) for k, v in maps.items()}


def check_golden(backbone, inputs, outputs, tolerances=(1e-4,) * 4):
    """Compare all feature maps, relative to their standard deviation."""
    for case, photos in inputs.items():
        received = run(backbone, photos)
        assert list(received) == list(STRIDES)
        for stride, expected, tolerance in zip(
            STRIDES, outputs[case], tolerances, strict=True
        ):
            assert received[stride].shape == expected.shape
            difference = np.abs(received[stride] - expected).max()
            assert difference < tolerance * expected.std(), (case, stride)


def check_backbone(backbone_class, init_kwargs, path, size=(18, 35)):
    """Run a backbone, reload it and train it for one step of `fit`."""
    generator = np.random.default_rng(0)
    photos = generator.integers(0, 256, (2, *size, 3), "uint8")
    backbone = backbone_class(**init_kwargs)
    outputs = run(backbone, photos)
    for level, stride in backbone.strides.items():
        rounded = (-(-size[0] // stride), -(-size[1] // stride))
        expected = (2, *rounded, backbone.channels[level])
        assert outputs[level].shape == expected
        assert outputs[level].std() > 0
    backbone.save_to_preset(path / "preset")
    loaded = backbone_class.from_preset(path / "preset")
    assert loaded.get_config() == backbone.get_config()
    pairs = zip(loaded.weights, backbone.weights, strict=True)
    for ours, theirs in pairs:
        np.testing.assert_array_equal(np.array(ours), np.array(theirs))
    _check_training(backbone, photos, outputs)


def _check_training(backbone, photos, outputs):
    """Check that one step of `fit` changes every trainable weight."""
    before = [np.array(v) for v in backbone.trainable_variables]
    # Targets above every output, so that no ReLU blocks all gradients of a map.
    targets = {level: map_ + 1 for level, map_ in outputs.items()}
    backbone.compile("sgd", dict.fromkeys(targets, "mse"))
    history = backbone.fit(photos, targets, batch_size=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    for old, new in zip(before, backbone.trainable_variables, strict=True):
        assert np.any(old != keras.ops.convert_to_numpy(new)), new.path


def check_sizes(backbone, height, width):
    """Check that the sizes of the feature maps are rounded up, symbolically."""
    photos = keras.KerasTensor((1, height, width, 3))
    features = backbone.compute_output_spec(photos)
    assert list(features) == list(STRIDES)
    for level, stride in backbone.strides.items():
        size = (-(-height // stride), -(-width // stride))
        expected = (1, *size, backbone.channels[level])
        for a, b in zip(features[level].shape, expected, strict=True):
            assert a in (b, None)


def count_trained(backbone):
    """Count the trainable parameters, as PyTorch does (no batch statistics)."""
    return sum(int(np.prod(v.shape)) for v in backbone.trainable_variables)
