"""One row of a verification, and the ways to come to it."""

import dataclasses
import json

import keras
import numpy as np
from keras import ops

# Of the reference's standard deviation: one block, a chain of many.
BLOCK = 1e-4
CHAIN = 1e-3
# Below this share of the logits' standard deviation a margin is a tie.
CLEAR = 1e-3


@dataclasses.dataclass(frozen=True)
class Row:
    """What one comparison came to.

    Attributes:
        stage: What was compared.
        measure: The result, for people.
        is_passed: Whether it is within the tolerance.
    """

    stage: str
    measure: str
    is_passed: bool


class Golden:
    """The arrays of a golden file, with channels last.

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
        """Returns the names that start with a prefix, without it."""
        return [
            name.removeprefix(prefix)
            for name in self._arrays
            if name.startswith(prefix)
        ]

    def raw(self, name):
        """Returns an array as it lies in the file."""
        return self._arrays[name]

    def map(self, name):
        """Returns a map `(batch, channels, h, w)` with its channels last."""
        array = self._arrays[name]
        return np.ascontiguousarray(array.transpose(0, 2, 3, 1))

    def scalar(self, name):
        """Returns the single number of an array."""
        return float(self._arrays[name].reshape(()))

    def weights(self, prefix=""):
        """Returns the module's tensors below a prefix, in PyTorch's layout."""
        prefix = f"sd/{prefix}"
        return {
            name: self._arrays[prefix + name] for name in self.names(prefix)
        }

    def cases(self):
        """Returns the names of the inputs, such as `a` of `in/a/image`."""
        names = [name.split("/")[0] for name in self.names("in/")]
        return list(dict.fromkeys(names))


def to_numpy(tensor):
    """Returns a tensor of any backend as an array."""
    return ops.convert_to_numpy(tensor)


def run(model, *inputs):
    """Computes a model's outputs as arrays, in the way that starts fastest.

    Tracing takes TensorFlow ten times as long as running once; JAX compiles
    either the whole or operation by operation, which is slower.
    """
    if keras.backend.backend() == "jax":
        return model.predict_on_batch(*inputs)
    return keras.tree.map_structure(to_numpy, model(*inputs, training=False))


def compare(stage, received, expected, tolerance=CHAIN):
    """Compares numbers, relative to the reference's standard deviation.

    Args:
        stage: What is compared.
        received: Our array.
        expected: The reference, of the same shape.
        tolerance: Largest difference that passes, over that deviation.

    Returns:
        A `Row`.
    """
    received = np.asarray(received, "float64")
    expected = np.asarray(expected, "float64")
    if received.shape != expected.shape:
        return Row(
            stage, f"shape {received.shape}, not {expected.shape}", False
        )
    # A single number has no spread, and a map may be constant.
    scale = expected.std() or np.abs(expected).max() or 1.0
    difference = np.abs(received - expected).max(initial=0.0) / scale
    return Row(stage, f"{difference:.1e} of std", bool(difference <= tolerance))


def agree(stage, received, expected, is_clear=None, least=1.0):
    """Compares ids where the reference was not close to a tie.

    Args:
        stage: What is compared.
        received: Our ids.
        expected: The reference's, of the same shape.
        is_clear: Which of them count, of the same shape; by default all.
        least: Share of them that must be equal.

    Returns:
        A `Row`.
    """
    received, expected = np.asarray(received), np.asarray(expected)
    if received.shape != expected.shape:
        return Row(
            stage, f"shape {received.shape}, not {expected.shape}", False
        )
    is_equal = received == expected
    if is_clear is not None:
        is_equal = is_equal[is_clear]
    # No position that counts proves nothing.
    share = is_equal.mean() if is_equal.size else 0.0
    measure = f"{share:.4%} of {is_equal.size} equal"
    return Row(stage, measure, bool(share >= least))
