"""Golden files, and comparisons of arrays with them."""

import dataclasses
import json

import keras
import numpy as np
from keras import ops

# Tolerances in standard deviations of the reference: for the output of a single
# block, and for that of many blocks.
BLOCK = 1e-4
CHAIN = 1e-3
# A margin of fewer standard deviations of the logits is a near tie.
CLEAR = 1e-3


@dataclasses.dataclass(frozen=True)
class Row:
    """Result of a comparison, a row of the report.

    Attributes:
        stage: Name of the compared output.
        measure: Human-readable result.
        is_passed: Whether it is within the tolerance.
    """

    stage: str
    measure: str
    is_passed: bool


class Golden:
    """Golden file: arrays of weights, inputs and outputs, and a configuration.

    Args:
        path: Path of the `.npz` file.
    """

    def __init__(self, path):
        with np.load(path) as arrays:
            self._arrays = {name: arrays[name] for name in arrays.files}
        self.meta = json.loads(str(self._arrays.pop("meta", "{}")))

    def __contains__(self, name):
        return name in self._arrays

    def names(self, prefix=""):
        """Return the names that start with a prefix, without the prefix."""
        return [
            name.removeprefix(prefix)
            for name in self._arrays
            if name.startswith(prefix)
        ]

    def raw(self, name):
        """Return an array as stored: PyTorch's layout, channels first."""
        return self._arrays[name]

    def map(self, name):
        """Return a feature map, transposed to `(batch, h, w, channels)`."""
        array = self._arrays[name]
        return np.ascontiguousarray(array.transpose(0, 2, 3, 1))

    def scalar(self, name):
        """Return the single element of an array as a float."""
        return float(self._arrays[name].reshape(()))

    def weights(self, prefix=""):
        """Return the weights below a prefix, in PyTorch's layout."""
        prefix = f"sd/{prefix}"
        return {
            name: self._arrays[prefix + name] for name in self.names(prefix)
        }

    def cases(self):
        """Return the case names of the inputs, such as `a` in `in/a/image`."""
        names = [name.split("/")[0] for name in self.names("in/")]
        return list(dict.fromkeys(names))


def to_numpy(tensor):
    """Convert a tensor of any backend to a NumPy array."""
    return ops.convert_to_numpy(tensor)


def run(model, *inputs):
    """Compute a model's outputs as arrays, compiled only on JAX.

    On TensorFlow, tracing takes ten times as long as a single eager call. JAX
    would compile eager operations one by one, which is slower than compiling
    the whole model.
    """
    if keras.backend.backend() == "jax":
        return model.predict_on_batch(*inputs)
    return keras.tree.map_structure(to_numpy, model(*inputs, training=False))


def compare(stage, received, expected, tolerance=CHAIN):
    """Compare arrays, relative to the reference's standard deviation.

    Args:
        stage: Name of the compared output.
        received: Our array.
        expected: The reference, of the same shape.
        tolerance: Maximum difference, in standard deviations.

    Returns:
        A `Row`.
    """
    received = np.asarray(received, "float64")
    expected = np.asarray(expected, "float64")
    if received.shape != expected.shape:
        return Row(
            stage, f"shape {received.shape}, expected {expected.shape}", False
        )
    # Scalars and constant arrays have a standard deviation of 0.
    scale = expected.std() or np.abs(expected).max() or 1.0
    difference = np.abs(received - expected).max(initial=0.0) / scale
    return Row(stage, f"{difference:.1e} of std", bool(difference <= tolerance))


def agree(stage, received, expected, is_clear=None, least=1.0):
    """Compare ids except at near ties of the reference.

    Args:
        stage: Name of the compared output.
        received: Our ids.
        expected: The reference's, of the same shape.
        is_clear: Bool array of the same shape, False at near ties, which are
            ignored; by default none are.
        least: Minimum fraction of equal ids.

    Returns:
        A `Row`.
    """
    received, expected = np.asarray(received), np.asarray(expected)
    if received.shape != expected.shape:
        return Row(
            stage, f"shape {received.shape}, expected {expected.shape}", False
        )
    is_equal = received == expected
    if is_clear is not None:
        is_equal = is_equal[is_clear]
    # Fail if there is nothing to compare.
    fraction = is_equal.mean() if is_equal.size else 0.0
    measure = f"{fraction:.4%} of {is_equal.size} equal"
    return Row(stage, measure, bool(fraction >= least))
