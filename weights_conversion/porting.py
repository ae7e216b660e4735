"""Moves tensors from a PyTorch state dict into Keras layers, each just once."""

import numpy as np

BATCH_NORMALIZATION_NAMES = (
    "weight",
    "bias",
    "running_mean",
    "running_var",
    "num_batches_tracked",
)


class Source:
    """Hands out every tensor of a checkpoint once and notices leftovers.

    A checkpoint with a tensor that nobody asked for, or one asked for twice,
    was not understood: `require_empty` and `take` turn both into errors.

    Args:
        tensors: A dict from name to tensor: anything that `numpy.asarray`
            takes, PyTorch tensors on the CPU among them.

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

    def take(self, name):
        """Returns the tensor called `name` as an array and forgets it.

        Raises:
            ValueError: If there is no such tensor (any more).
        """
        if name not in self._tensors:
            raise ValueError(
                f"The checkpoint has no tensor `{name}`, or it was taken "
                f"before. Received: {sorted(self._tensors)}"
            )
        return np.asarray(self._tensors.pop(name))

    def discard(self, *names):
        """Forgets tensors that have no place in the model, on purpose."""
        for name in names:
            self.take(name)

    def require_empty(self):
        """Checks that every tensor was taken or discarded.

        Raises:
            ValueError: If any is left.
        """
        if self._tensors:
            raise ValueError(
                "Every tensor of the checkpoint must find its place in the "
                f"model. Received: {sorted(self._tensors)} left over"
            )


def port_convolution(source, prefix, layer):
    """Fills a `Conv2D` (and its bias, if any) from `<prefix>.weight`."""
    kernel = source.take(f"{prefix}.weight").transpose(2, 3, 1, 0)
    bias = [source.take(f"{prefix}.bias")] if layer.use_bias else []
    set_weights(layer, [kernel, *bias])


def port_depthwise_convolution(source, prefix, layer):
    """Fills a `DepthwiseConv2D` without bias from `<prefix>.weight`."""
    kernel = source.take(f"{prefix}.weight")
    set_weights(layer, [kernel.transpose(2, 3, 0, 1)])


def port_batch_normalization(source, prefix, layer):
    """Fills a `BatchNormalization`; PyTorch's count of batches is dropped."""
    *arrays, _ = (
        source.take(f"{prefix}.{name}") for name in BATCH_NORMALIZATION_NAMES
    )
    set_weights(layer, arrays)


def set_weights(layer, arrays):
    """Sets a layer's weights, naming the layer where a shape does not fit.

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
    # Copies in order, since PyTorch warns of arrays that are read-only.
    layer.set_weights([np.array(array, order="C") for array in arrays])
