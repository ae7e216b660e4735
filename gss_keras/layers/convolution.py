"""2-D convolution as fast on PyTorch as PyTorch's own."""

import keras

from gss_keras.layers.normalization import normalize_within
from gss_keras.ops.kernels import (
    add_bias,
    convolve,
    keras_conv_copies,
    set_kernel_layout,
)
from gss_keras.ops.padding import pad_for_kernel


@keras.saving.register_keras_serializable(package="gss_keras")
class Conv2D(keras.layers.Conv2D):
    """Keras' `Conv2D` without its copies of feature maps on PyTorch.

    Arguments, weights and results are the same; see
    `gss_keras.ops.kernels.convolve`.

    Call arguments:
        inputs: Float tensor `(batch, height, width, any)`.
        norm: None, or a `BatchNormalization` to apply to the result of a
            layer without bias and activation; see `normalize_within`.
        training: Whether `norm` uses and updates batch statistics.
    """

    def build(self, input_shape):
        super().build(input_shape)
        set_kernel_layout(self.kernel)

    def call(self, inputs, norm=None, training=None):
        if self.data_format == "channels_first":
            return super().call(inputs)
        if norm is None:
            return self.activation(
                self._convolve(inputs, self.kernel, self.bias)
            )
        return normalize_within(
            lambda kernel, bias: self._convolve(inputs, kernel, bias),
            self.kernel,
            norm,
            training,
        )

    def _convolve(self, inputs, kernel, bias):
        is_centered = self.padding == "same" and set(self.strides) == {1}
        is_centered &= all(side % 2 for side in self.kernel_size)
        is_plain = self.padding == "valid" or is_centered
        if is_plain and self.groups == 1:
            return convolve(
                inputs, kernel, self.padding, self.strides,
                self.dilation_rate, bias,
            )  # fmt: skip
        is_dilated = set(self.dilation_rate) != {1}
        if keras_conv_copies() and self.groups == 1 and not is_dilated:
            padded, _ = pad_for_kernel(inputs, self.kernel_size, self.strides)
            return convolve(padded, kernel, "valid", self.strides, bias=bias)
        result = self.convolution_op(inputs, kernel)
        return result if bias is None else add_bias(result, bias)
