"""Convolution that is as fast on PyTorch as PyTorch's own."""

import keras

from gss_keras.layers.backend import convolve


@keras.saving.register_keras_serializable(package="gss_keras")
class Conv2D(keras.layers.Conv2D):
    """Keras' `Conv2D`, without the copies that it makes on PyTorch.

    Arguments, weights and results are always the same; see
    `layers.backend.convolve`.
    """

    def convolution_op(self, inputs, kernel):
        is_centered = self.padding == "same" and set(self.strides) == {1}
        is_centered &= all(side % 2 for side in self.kernel_size)
        is_plain = self.data_format == "channels_last" and self.groups == 1
        if is_plain and (is_centered or self.padding == "valid"):
            return convolve(
                inputs, kernel, self.padding, self.strides, self.dilation_rate
            )
        return super().convolution_op(inputs, kernel)
