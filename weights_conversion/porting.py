"""Port tensors from a PyTorch state dict to Keras layers, each once."""

import fnmatch
import math

import numpy as np

from gss_keras.layers.window_attention import WindowAttention
from weights_conversion import torch_files

BATCH_NORMALIZATION_NAMES = (
    "weight",
    "bias",
    "running_mean",
    "running_var",
)

# Bytes of a memory-mapped file that may stay in memory after reading.
_MOST_BYTES_MAPPED = 16 * 2**20

# Axes of PyTorch's vectors, matrices and convolution kernels in the order of
# Keras.
_AXES = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}


class Source:
    """Tensors of a checkpoint, each to be taken exactly once.

    A tensor that is left over or needed twice means that the checkpoint has
    another architecture: `require_empty` and `take` raise errors for both.

    Args:
        tensors: A dict from name to tensor: anything that `numpy.asarray`
            takes, including PyTorch tensors on the CPU.

    Example:
        >>> from weights_conversion.porting import Source
        >>> source = Source({"fc.bias": [1.0, 2.0], "step": 7})
        >>> source.discard("step")
        >>> source.take("fc.bias")
        array([1., 2.])
        >>> source.require_empty()
    """

    def __init__(self, tensors):
        self._tensors = dict(tensors)
        self._bytes_read = 0

    def __contains__(self, name):
        return name in self._tensors

    def names(self):
        """Return the names of the remaining tensors, sorted."""
        return sorted(self._tensors)

    def take(self, name):
        """Remove the tensor called `name` and return it as an array.

        Raises:
            ValueError: If there is no such tensor (any more).
        """
        if name not in self._tensors:
            raise ValueError(
                f"The checkpoint has no tensor `{name}`, or it was taken "
                f"before. Received: {sorted(self._tensors)}"
            )
        array = np.asarray(self._tensors.pop(name))
        if self._bytes_read > _MOST_BYTES_MAPPED:
            torch_files.drop_pages(array)
            self._bytes_read = 0
        self._bytes_read += array.nbytes
        return array

    def shape(self, name):
        """Return the shape of the tensor called `name` without taking it."""
        return np.shape(self._tensors[name])

    def discard(self, *names):
        """Remove checkpoint tensors that have no counterpart in the model."""
        for name in names:
            self.take(name)

    def discard_matching(self, *patterns):
        """Remove all tensors that match a pattern such as `head.*`, if any."""
        for pattern in patterns:
            self.discard(*fnmatch.filter(self._tensors, pattern))

    def require_empty(self):
        """Check that every tensor was taken or discarded.

        Raises:
            ValueError: If any is left.
        """
        if self._tensors:
            raise ValueError(
                "Every tensor of the checkpoint must find its place in the "
                f"model. Received: {sorted(self._tensors)} left over"
            )


def port_convolution(source, prefix, layer):
    """Set the weights of a `Conv2D` (with bias, if any) by name prefix."""
    kernel = source.take(f"{prefix}.weight").transpose(2, 3, 1, 0)
    bias = [source.take(f"{prefix}.bias")] if layer.use_bias else []
    set_weights(layer, [kernel, *bias])


def port_depthwise_convolution(source, prefix, layer):
    """Set the kernel of a `DepthwiseConv2D` without bias by name prefix."""
    kernel = source.take(f"{prefix}.weight")
    set_weights(layer, [kernel.transpose(2, 3, 0, 1)])


def port_batch_normalization(source, prefix, layer):
    """Set the weights of a `BatchNormalization`; drop the batch count."""
    arrays = [
        source.take(f"{prefix}.{name}") for name in BATCH_NORMALIZATION_NAMES
    ]
    source.discard_matching(f"{prefix}.num_batches_tracked")
    set_weights(layer, arrays)


def set_weights(layer, arrays):
    """Set a layer's weights, with an error that names the layer.

    Raises:
        ValueError: If number or shapes of `arrays` are not the layer's.
    """
    expected = [tuple(weight.shape) for weight in layer.weights]
    received = [tuple(array.shape) for array in arrays]
    if received != expected:
        raise ValueError(
            f"The weights of layer `{layer.name}` must have the shapes "
            f"{expected}. Received: {received}"
        )
    # Contiguous copies, since PyTorch warns about read-only arrays.
    layer.set_weights([np.array(array, order="C") for array in arrays])


def port_layers(source, model, layers, kept=()):
    """Set all weights of a model and check that no tensor is left over.

    Args:
        source: The `Source` of the tensors.
        model: The model, all of whose weights are to be filled.
        layers: A dict from the prefix of a layer's tensors, as in
            `stages.0.blocks.1.attn.w_msa.qkv`, to the layer: a `Conv2D`, a
            `Dense`, a layer or batch normalization, or a `WindowAttention`,
            of which only the relative position bias is meant.
        kept: Layers that are deliberately left unchanged.

    Raises:
        ValueError: If a tensor is missing, left over or of another shape, or
            a weight of the model is not filled. Nothing is filled then.
    """
    plan = plan_layers(layers)
    source.discard_matching(
        "*.num_batches_tracked", "*.relative_position_index", "*.attn_mask"
    )
    missing = sorted(set(plan) - set(source.names()))
    left_over = sorted(set(source.names()) - set(plan))
    if missing or left_over:
        raise ValueError(
            "The tensors of the checkpoint must be those of the model. "
            f"Received: {left_over} left over, {missing} missing"
        )
    filled = [variable for variable, _ in plan.values()]
    filled += [variable for layer in kept for variable in layer.weights]
    _require_filled(model, filled)
    for name, (variable, axes) in plan.items():
        _check_shape(name, source.shape(name), variable, axes)
    for name, (variable, axes) in plan.items():
        array = in_order_of_keras(source.take(name), axes)
        # A copy, since PyTorch warns about read-only arrays.
        variable.assign(np.array(array, order="C"))


def plan_layers(layers):
    """Assign tensors of a checkpoint to variables.

    Args:
        layers: As in `port_layers`.

    Returns:
        A dict from the name of the tensor to a pair: the variable, and the
        order of the tensor's axes in Keras.
    """
    plan = {}
    for prefix, layer in layers.items():
        if isinstance(layer, WindowAttention):
            name = f"{prefix}.relative_position_bias_table"
            plan[name] = (layer.relative_position_bias, (0, 1))
            continue
        # PyTorch's names of what Keras keeps in this order.
        names = ("weight", "bias", "running_mean", "running_var")
        for name, variable in zip(names, layer.weights, strict=False):
            axes = _AXES[len(variable.shape)]
            plan[f"{prefix}.{name}"] = (variable, axes)
    return plan


def in_order_of_keras(array, axes):
    """Return a view of a tensor with its axes in the order of Keras.

    Args:
        array: The tensor; that of a `Dense` may also be of a 1x1 convolution.
        axes: Order of the axes, see `plan_layers`.
    """
    if np.shape(array)[len(axes) :] == (1, 1):
        array = array[..., 0, 0]
    return np.transpose(array, axes)


def window_of(shape):
    """Infer the window size from a table of relative position biases.

    Args:
        shape: Shape of a table of relative position biases.
    """
    return (math.isqrt(shape[0]) + 1) // 2


def _check_shape(name, shape, variable, axes):
    if shape[len(axes) :] == (1, 1):
        shape = shape[: len(axes)]
    if len(shape) == len(axes):
        shape = tuple(shape[axis] for axis in axes)
    if shape != tuple(variable.shape):
        raise ValueError(
            f"The tensor `{name}`, in the order of Keras, must have the "
            f"shape {tuple(variable.shape)}. Received: {shape}"
        )


def _require_filled(model, filled):
    paths = {id(variable): variable.path for variable in model.weights}
    for variable in filled:
        if paths.pop(id(variable), None) is None:
            raise ValueError(
                "Every weight must be one of the model's and be filled once. "
                f"Received: {variable.path}"
            )
    if paths:
        raise ValueError(
            "Every weight of the model must be filled. "
            f"Received: {sorted(paths.values())} left over"
        )
