"""The convolutional blocks that ResNet-V1c and HRNet are made of."""

import keras
from keras import layers, ops

from gss_keras.backbones.efficientnet_lite import FanOutNormal
from gss_keras.layers.convolution import Conv2D
from gss_keras.layers.normalization import BatchNormalization

BOTTLENECK_EXPANSION = 4


@keras.saving.register_keras_serializable(package="gss_keras")
class ConvolutionBlock(layers.Layer):
    """Convolves, normalizes by batch statistics and cuts off below 0.

    Zeros are added equally on both sides, as PyTorch does it: Keras' "same"
    would, where a stride skips positions, add more of them after the map.

    Args:
        channels: Channels of the result.
        kernel_size: Odd side of the kernel.
        strides: Positions from one kernel to the next.
        dilation: Positions from one kernel entry to the next; 1 wherever
            `strides` is not.
        is_linear: Whether to leave out the final ReLU.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        features: Float tensor `(batch, height, width, any)`.
        training: Whether batch statistics are used and updated.

    Returns:
        Tensor `(batch, ceil(height / strides), ceil(width / strides),
        channels)`.
    """

    def __init__(
        self,
        channels,
        kernel_size,
        strides=1,
        dilation=1,
        is_linear=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.channels = channels
        self.kernel_size = kernel_size
        self.strides = strides
        self.dilation = dilation
        self.is_linear = is_linear
        self.convolution = Conv2D(
            channels,
            kernel_size,
            strides=strides,
            padding="same" if strides == 1 else "valid",
            dilation_rate=dilation,
            use_bias=False,
            kernel_initializer=FanOutNormal(),
            name="convolution",
            dtype=self.dtype_policy,
        )
        # PyTorch's momentum of 0.1 is Keras' 0.9.
        self.norm = BatchNormalization(
            momentum=0.9, epsilon=1e-5, name="norm", dtype=self.dtype_policy
        )

    def build(self, input_shape):
        self.convolution.build(input_shape)
        self.norm.build((*input_shape[:-1], self.channels))

    def call(self, features, training=None):
        margin = self.kernel_size // 2
        if self.strides > 1 and margin:
            sides = [[0, 0], [margin, margin], [margin, margin], [0, 0]]
            features = ops.pad(features, sides)
        x = self.convolution(features, norm=self.norm, training=training)
        return x if self.is_linear else ops.relu(x)

    def compute_output_shape(self, input_shape):
        """Divides height and width by the stride where they are known."""
        batch, *sizes, _ = input_shape
        rounded = (size and -(-size // self.strides) for size in sizes)
        return (batch, *rounded, self.channels)

    def get_config(self):
        """Returns the constructor arguments as a JSON-serializable dict."""
        return {
            **super().get_config(),
            "channels": self.channels,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "dilation": self.dilation,
            "is_linear": self.is_linear,
        }


def convolution_blocks(channels, depth):
    """Stacks blocks of one 3x3 convolution each.

    Args:
        channels: Channels of every block's result.
        depth: Number of blocks.

    Returns:
        List of `ConvolutionBlock`, named `block_0` and so on.
    """
    return [
        ConvolutionBlock(channels, 3, name=f"block_{index}")
        for index in range(depth)
    ]


def bottleneck_block(x, channels, name, strides=1, dilation=1, dtype=None):
    """Adds to a map what three convolutions, 1x1, 3x3 and 1x1, make of it.

    Args:
        x: Symbolic feature map.
        channels: Channels of the 3x3 convolution, a quarter of the result's.
        name: Start of the layers' names.
        strides: Strides of the 3x3 convolution.
        dilation: Dilation of the 3x3 convolution.
        dtype: Name or policy of the layers' types, None for the global one.

    Returns:
        Symbolic feature map of `4 * channels` channels.

    Reference:
        He et al., "Deep Residual Learning for Image Recognition", CVPR 2016,
        with the stride in the 3x3 convolution as PyTorch's models have it.
    """
    wide, shortcut = BOTTLENECK_EXPANSION * channels, x
    if strides != 1 or x.shape[-1] != wide:
        shortcut = ConvolutionBlock(
            wide, 1, strides, is_linear=True,
            dtype=dtype, name=f"{name}_shortcut",
        )(x)  # fmt: skip
    x = ConvolutionBlock(channels, 1, dtype=dtype, name=f"{name}_conv_1")(x)
    x = ConvolutionBlock(
        channels, 3, strides, dilation, dtype=dtype, name=f"{name}_conv_2"
    )(x)
    x = ConvolutionBlock(
        wide, 1, is_linear=True, dtype=dtype, name=f"{name}_conv_3"
    )(x)
    return add_and_cut([x, shortcut], name, dtype)


def basic_block(x, name, dtype=None):
    """Adds to a map what two 3x3 convolutions of its width make of it.

    Args:
        x: Symbolic feature map.
        name: Start of the layers' names.
        dtype: Name or policy of the layers' types, None for the global one.

    Returns:
        Symbolic feature map of the same shape.

    Reference:
        He et al., "Deep Residual Learning for Image Recognition", CVPR 2016.
    """
    shortcut, channels = x, x.shape[-1]
    x = ConvolutionBlock(channels, 3, dtype=dtype, name=f"{name}_conv_1")(x)
    x = ConvolutionBlock(
        channels, 3, is_linear=True, dtype=dtype, name=f"{name}_conv_2"
    )(x)
    return add_and_cut([x, shortcut], name, dtype)


def add_and_cut(maps, name, dtype):
    """Adds symbolic maps of one shape and cuts off below 0."""
    total = layers.Add(dtype=dtype, name=f"{name}_add")(maps)
    return layers.ReLU(dtype=dtype, name=f"{name}_relu")(total)
