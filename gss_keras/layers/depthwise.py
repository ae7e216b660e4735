"""Depthwise convolution that is fast on every backend."""

import keras
from keras import ops

from gss_keras.layers.backend import (
    convolve,
    copies_convolved_maps,
    is_jax_on_cpu,
)


@keras.saving.register_keras_serializable(package="gss_keras")
class DepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """Keras' `DepthwiseConv2D`, with ways of its own where that is slow.

    On a CPU, XLA computes a convolution of many groups group by group. Adding
    up shifted copies of the map, each times its kernel entry, gives the same
    numbers: a training step of EfficientNet-Lite0 on 8 photos of 128 x 192
    took 1.1 seconds instead of 3.9 on two cores. On PyTorch, Keras' own layer
    copies maps, as all its convolutions do. Elsewhere this is Keras' own, and
    arguments, weights and results are always the same.
    """

    def call(self, inputs):
        if self._is_plain() and is_jax_on_cpu():
            return self._finish(self._add_shifted(inputs))
        if self._is_plain() and copies_convolved_maps():
            return self._finish(self._convolve_groups(inputs))
        return super().call(inputs)

    def _is_plain(self):
        return (
            self.padding == "same"
            and self.data_format == "channels_last"
            and self.depth_multiplier == 1
            and set(self.dilation_rate) == {1}
        )

    def _finish(self, result):
        if self.use_bias:
            result = result + ops.cast(self.bias, result.dtype)
        return self.activation(result) if self.activation else result

    def _pad(self, inputs):
        """Pad maps; also count the results along both axes."""
        sizes = inputs.shape[1:3]
        counts, pads = zip(
            *map(_count_and_pad, sizes, self.kernel_size, self.strides),
            strict=True,
        )
        return ops.pad(inputs, ((0, 0), *pads, (0, 0))), counts

    def _convolve_groups(self, inputs):
        kernel = ops.transpose(self.kernel, (0, 1, 3, 2))
        kernel = ops.cast(kernel, inputs.dtype)
        odd = all(side % 2 for side in self.kernel_size)
        if odd and set(self.strides) == {1}:
            return convolve(inputs, kernel, "same")
        padded, _ = self._pad(inputs)
        return convolve(padded, kernel, "valid", self.strides)

    def _add_shifted(self, inputs):
        padded, counts = self._pad(inputs)
        kernel = ops.cast(self.kernel, inputs.dtype)[..., 0]

        return sum(
            padded[:, rows, columns] * kernel[row, column]
            for row, rows in self._shifts(0, counts)
            for column, columns in self._shifts(1, counts)
        )

    def _shifts(self, axis, counts):
        """Number the entries of the kernel and slice what each meets."""
        stride = self.strides[axis]
        span = (counts[axis] - 1) * stride + 1
        return [
            (shift, slice(shift, shift + span, stride))
            for shift in range(self.kernel_size[axis])
        ]


def _count_and_pad(size, kernel, stride):
    """Count the results along an axis; pad it as TensorFlow's "same" does."""
    count = -(-size // stride)
    total = max((count - 1) * stride + kernel - size, 0)
    return count, (total // 2, total - total // 2)
