"""A generic test of Keras layers."""

import keras
import numpy as np
from keras import tree


def check_layer(
    layer_class,
    init_kwargs,
    inputs,
    output_shape,
    path,
    output_dtype="float32",
    symbolic_shape=None,
    tolerance=1e-5,
):
    """Test a layer: eager, symbolic, compiled, config, saving and training.

    Inputs and outputs may be arrays, lists or dictionaries of arrays.

    Args:
        layer_class: Class of the layer, registered for saving.
        init_kwargs: Dictionary of its constructor arguments.
        inputs: NumPy arrays with a batch axis, the first call argument.
        output_shape: Expected shapes, including the batch axis.
        path: Folder for the saved model, such as `tmp_path`.
        output_dtype: Expected dtype of every output, a string.
        symbolic_shape: Shapes of the symbolic inputs, including the batch
            axis. By default, batch, height and width are dynamic: the first
            three axes of arrays of rank 3 and 4.
        tolerance: Absolute and relative tolerance between two modes.

    Returns:
        The outputs of the eager call, as NumPy arrays.
    """
    layer = layer_class(**init_kwargs)
    outputs = _call(layer, inputs)
    _check_outputs(outputs, output_shape, output_dtype)

    if symbolic_shape is None:
        symbolic_shape = tree.map_structure(_dynamic_shape, inputs)
    symbolic = tree.map_structure_up_to(
        inputs,
        lambda a, shape: keras.Input(batch_shape=shape, dtype=a.dtype.name),
        inputs,
        symbolic_shape,
    )
    symbolic_outputs = layer(symbolic)
    _check_symbolic(symbolic_outputs, outputs)
    model = keras.Model(symbolic, symbolic_outputs)
    _check_equal(model.predict(inputs, verbose=0), outputs, tolerance)

    clone = layer_class.from_config(layer.get_config())
    assert clone.get_config() == layer.get_config()
    _call(clone, inputs)
    clone.set_weights(layer.get_weights())
    _check_equal(_call(clone, inputs), outputs, tolerance)

    file = path / f"{layer_class.__name__}.keras"
    model.save(file)
    loaded = keras.saving.load_model(file)
    _check_equal(loaded.predict(inputs, verbose=0), outputs, tolerance)

    if output_dtype.startswith("float"):
        _check_training(layer, symbolic, inputs, outputs)
    return outputs


def _call(layer, inputs):
    tensors = tree.map_structure(keras.ops.convert_to_tensor, inputs)
    return tree.map_structure(keras.ops.convert_to_numpy, layer(tensors))


def _dynamic_shape(array):
    dynamic = 3 if array.ndim in (3, 4) else 1
    return (None,) * dynamic + array.shape[dynamic:]


def _check_outputs(outputs, output_shape, output_dtype):
    def check(array, shape):
        assert array.shape == tuple(shape)
        assert array.dtype.name == output_dtype

    tree.map_structure_up_to(outputs, check, outputs, output_shape)


def _check_symbolic(symbolic_outputs, outputs):
    """Check the shapes and dtypes of the symbolic outputs."""

    def check(tensor, array):
        assert keras.backend.standardize_dtype(tensor.dtype) == array.dtype
        assert len(tensor.shape) == array.ndim
        for static_size, size in zip(tensor.shape, array.shape, strict=True):
            assert static_size in (None, size)

    tree.map_structure(check, symbolic_outputs, outputs)


def _check_equal(actual, expected, tolerance):
    def check(a, b):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)

    tree.map_structure(check, actual, expected)


def _check_training(layer, symbolic, inputs, outputs):
    """Check that one step of `fit` changes the trainable weights."""
    heads = [
        keras.layers.Dense(1)(output)
        for output in tree.flatten(layer(symbolic, training=True))
    ]
    model = keras.Model(symbolic, heads)
    targets = [
        np.ones((*output.shape[:-1], 1), "float32")
        for output in tree.flatten(outputs)
    ]
    before = [np.array(v) for v in layer.trainable_variables]
    model.compile("sgd", ["mse"] * len(heads))
    history = model.fit(inputs, targets, batch_size=len(targets[0]), verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    after = [np.array(v) for v in layer.trainable_variables]
    changed = [np.any(a != b) for a, b in zip(after, before, strict=True)]
    assert any(changed) or not changed
