"""Residual blocks of ResNet-V1c and HRNet."""

import keras
from keras import layers, ops

from gss_keras.layers.conv_norm import ConvNorm

BOTTLENECK_EXPANSION = 4


@keras.saving.register_keras_serializable(package="gss_keras")
class BottleneckBlock(layers.Layer):
    """Residual bottleneck block: 1x1, 3x3 and 1x1 convolutions.

    The shortcut is a 1x1 convolution where stride or channels change.

    Args:
        channels: Channels of the 3x3 convolution, a quarter of the output's.
        strides: Stride of the 3x3 convolution and of the shortcut.
        dilation: Dilation of the 3x3 convolution.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        features: Float tensor of shape `(batch, height, width, any)`.
        training: Whether batch statistics are used and updated.

    Returns:
        Tensor `(batch, ceil(height / strides), ceil(width / strides),
        4 * channels)`, at least 0.

    Reference:
        He et al., "Deep Residual Learning for Image Recognition", CVPR 2016,
        with the stride in the 3x3 convolution as in PyTorch's models.
    """

    def __init__(self, channels, strides=1, dilation=1, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        self.strides = strides
        self.dilation = dilation
        self.expanded = BOTTLENECK_EXPANSION * channels
        dtype = self.dtype_policy
        self.conv_1 = ConvNorm(channels, 1, name="conv_1", dtype=dtype)
        self.conv_2 = ConvNorm(
            channels, 3, strides, dilation, name="conv_2", dtype=dtype
        )
        self.conv_3 = ConvNorm(
            self.expanded, 1, activation=None, name="conv_3", dtype=dtype
        )
        self.shortcut = None

    def build(self, input_shape):
        if self.strides != 1 or input_shape[-1] != self.expanded:
            self.shortcut = ConvNorm(
                self.expanded,
                1,
                self.strides,
                activation=None,
                name="shortcut",
                dtype=self.dtype_policy,
            )
            self.shortcut.build(input_shape)
        self.conv_1.build(input_shape)
        self.conv_2.build((*input_shape[:-1], self.channels))
        self.conv_3.build((*input_shape[:-1], self.channels))

    def call(self, features, training=None):
        x = self.conv_1(features, training=training)
        x = self.conv_2(x, training=training)
        x = self.conv_3(x, training=training)
        if self.shortcut:
            features = self.shortcut(features, training=training)
        x = ops.add(x, features)
        del features  # before the activation needs memory
        return ops.relu(x)

    def compute_output_shape(self, input_shape):
        shape = self.conv_2.compute_output_shape(input_shape)
        return self.conv_3.compute_output_shape(shape)

    def get_config(self):
        return {
            **super().get_config(),
            "channels": self.channels,
            "strides": self.strides,
            "dilation": self.dilation,
        }


@keras.saving.register_keras_serializable(package="gss_keras")
class BasicBlock(layers.Layer):
    """Residual basic block: two 3x3 convolutions of the input's channels.

    Args:
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        features: Float tensor of shape `(batch, height, width, channels)`.
        training: Whether batch statistics are used and updated.

    Returns:
        Tensor of the same shape, at least 0.

    Reference:
        He et al., "Deep Residual Learning for Image Recognition", CVPR 2016.
    """

    def build(self, input_shape):
        channels, dtype = input_shape[-1], self.dtype_policy
        self.conv_1 = ConvNorm(channels, 3, name="conv_1", dtype=dtype)
        self.conv_2 = ConvNorm(
            channels, 3, activation=None, name="conv_2", dtype=dtype
        )
        self.conv_1.build(input_shape)
        self.conv_2.build(input_shape)

    def call(self, features, training=None):
        x = self.conv_1(features, training=training)
        x = self.conv_2(x, training=training)
        x = ops.add(x, features)
        return ops.relu(x)

    def compute_output_shape(self, input_shape):
        return input_shape
