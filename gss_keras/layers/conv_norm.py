"""Convolution, batch normalization and activation in one layer."""

import keras
from keras import ops

from gss_keras.initializers import FanOutNormal
from gss_keras.layers.convolution import Conv2D
from gss_keras.layers.depthwise import DepthwiseConv2D
from gss_keras.layers.normalization import (
    BatchNormalization,
    normalize_within,
)
from gss_keras.ops.kernels import convolve


@keras.saving.register_keras_serializable(package="gss_keras")
class ConvNorm(keras.layers.Layer):
    """Conv-BN-activation: a 2-D convolution, batch norm and ReLU.

    Outside training the batch norm is folded into the kernel, at every call,
    so that it costs no pass over the feature map; see `normalize_within`.

    Args:
        channels: Output channels. A depthwise convolution keeps those of its
            input, so this must be their number.
        kernel_size: Side of the square kernel; odd for symmetric padding.
        strides: Stride of the convolution.
        dilation: Dilation of the kernel; 1 unless `strides` is 1.
        activation: Name of a Keras activation such as "relu" or "relu6", or
            None for a linear output.
        padding: "symmetric" for `kernel_size // 2` zeros on every side, as
            PyTorch's models, or "same" as in TensorFlow, which adds more
            zeros below and on the right where a strided convolution needs an
            odd number of them.
        is_depthwise: Whether the convolution is depthwise.
        is_dense: Whether the 1x1 convolution is a `keras.layers.Dense`, whose
            kernel `(channels in, channels)` Keras' `quantize` supports.
        momentum: Momentum of the batch norm; PyTorch's 0.1 is Keras' 0.9.
        epsilon: Epsilon of the batch norm.
        kernel_initializer: Keras initializer of the kernel; by default
            `FanOutNormal`.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        features: Float tensor of shape `(batch, height, width, any)`.
        training: Whether batch statistics are used and updated, provided
            that the layer is trainable.

    Returns:
        Tensor `(batch, ceil(height / strides), ceil(width / strides),
        channels)`.

    Raises:
        ValueError: If `padding` is unknown, a `Dense` is to have another
            kernel than 1x1, or a depthwise convolution is to change the
            number of channels.

    Example:
        >>> layer = ConvNorm(8, 3, strides=2)
        >>> tuple(layer(keras.ops.zeros((1, 5, 6, 4))).shape)
        (1, 3, 3, 8)
    """

    def __init__(
        self,
        channels,
        kernel_size=1,
        strides=1,
        dilation=1,
        activation="relu",
        padding="symmetric",
        is_depthwise=False,
        is_dense=False,
        momentum=0.9,
        epsilon=1e-5,
        kernel_initializer=None,
        **kwargs,
    ):
        if padding not in ("symmetric", "same"):
            raise ValueError(
                "`padding` must be 'symmetric' or 'same'. "
                f"Received: padding={padding!r}"
            )
        if is_dense and (kernel_size, strides, is_depthwise) != (1, 1, False):
            raise ValueError(
                "`is_dense` is for 1x1 convolutions of stride 1 only. "
                f"Received: kernel_size={kernel_size}, strides={strides}, "
                f"is_depthwise={is_depthwise}"
            )
        super().__init__(**kwargs)
        self.channels = channels
        self.kernel_size = kernel_size
        self.strides = strides
        self.dilation = dilation
        self.activation = keras.activations.get(activation)
        self.padding = padding
        self.is_depthwise = is_depthwise
        self.is_dense = is_dense
        self.kernel_initializer = keras.initializers.get(
            kernel_initializer or FanOutNormal()
        )
        self.convolution = self._make_convolution()
        self.norm = BatchNormalization(
            momentum=momentum,
            epsilon=epsilon,
            name="norm",
            dtype=self.dtype_policy,
        )

    def build(self, input_shape):
        if self.is_depthwise and input_shape[-1] != self.channels:
            raise ValueError(
                "`channels` of a depthwise convolution must be those of its "
                f"input. Received: channels={self.channels} for inputs of "
                f"shape {tuple(input_shape)}"
            )
        self.convolution.build(input_shape)
        self.norm.build((*input_shape[:-1], self.channels))

    def call(self, features, training=None):
        if self.is_dense:
            x = self._project(features, training)
        else:
            x = self.convolution(
                self._pad(features), norm=self.norm, training=training
            )
        return self.activation(x)

    def compute_output_shape(self, input_shape):
        batch, *sizes, _ = input_shape
        rounded = (size and -(-size // self.strides) for size in sizes)
        return (batch, *rounded, self.channels)

    def get_config(self):
        return {
            **super().get_config(),
            "channels": self.channels,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "dilation": self.dilation,
            "activation": keras.activations.serialize(self.activation),
            "padding": self.padding,
            "is_depthwise": self.is_depthwise,
            "is_dense": self.is_dense,
            "momentum": self.norm.momentum,
            "epsilon": self.norm.epsilon,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
        }

    @property
    def _margin(self):
        """Zeros that `call` adds to every side of a feature map.

        Without strides, the convolution's own "same" padding is symmetric.
        """
        is_strided = self.padding == "symmetric" and self.strides > 1
        return self.kernel_size // 2 if is_strided else 0

    def _make_convolution(self):
        common = {
            "use_bias": False,
            "name": "convolution",
            "dtype": self.dtype_policy,
        }
        initializer = self.kernel_initializer
        if self.is_dense:
            return keras.layers.Dense(
                self.channels, kernel_initializer=initializer, **common
            )
        is_padded = self.padding == "same" or self.strides == 1
        common |= {
            "strides": self.strides,
            "padding": "same" if is_padded else "valid",
            "dilation_rate": self.dilation,
        }
        if self.is_depthwise:
            return DepthwiseConv2D(
                self.kernel_size, depthwise_initializer=initializer, **common
            )
        return Conv2D(
            self.channels,
            self.kernel_size,
            kernel_initializer=initializer,
            **common,
        )

    def _pad(self, features):
        if not self._margin:
            return features
        sides = [self._margin, self._margin]
        return ops.pad(features, [[0, 0], sides, sides, [0, 0]])

    def _project(self, features, training):
        if self.convolution.quantization_mode is not None:
            return self.norm(self.convolution(features), training=training)
        return normalize_within(
            lambda kernel, bias: convolve(features, kernel, bias=bias),
            self.convolution.kernel[None, None],
            self.norm,
            training,
        )


@keras.saving.register_keras_serializable(package="gss_keras")
class ProjectionBlock(ConvNorm):
    """1x1 conv-BN-ReLU on a `Dense` kernel, which `quantize` supports.

    Args:
        channels: Output channels.
        **kwargs: Passed to `keras.layers.Layer`.
    """

    def __init__(self, channels, **kwargs):
        # Kaiming normal by fan-out, as `FanOutNormal` of a 1x1 kernel.
        initializer = keras.initializers.VarianceScaling(
            2.0, "fan_out", "untruncated_normal"
        )
        super().__init__(
            channels, is_dense=True, kernel_initializer=initializer, **kwargs
        )

    def get_config(self):
        return {
            **keras.layers.Layer.get_config(self),
            "channels": self.channels,
        }


@keras.saving.register_keras_serializable(package="gss_keras")
class ConvolutionBlock(ConvNorm):
    """`ConvNorm` under the name and arguments of earlier versions' configs."""

    def __init__(
        self,
        channels,
        kernel_size,
        strides=1,
        dilation=1,
        is_linear=False,
        **kwargs,
    ):
        activation = None if is_linear else "relu"
        super().__init__(
            channels, kernel_size, strides, dilation, activation, **kwargs
        )
        self.is_linear = is_linear

    def get_config(self):
        return {
            **keras.layers.Layer.get_config(self),
            "channels": self.channels,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "dilation": self.dilation,
            "is_linear": self.is_linear,
        }


def convolution_blocks(channels, depth):
    """Return a stack of 3x3 conv-BN-ReLU layers.

    Args:
        channels: Output channels of every layer.
        depth: Number of layers.

    Returns:
        List of `ConvNorm`, named `block_0` and so on.
    """
    return [
        ConvNorm(channels, 3, name=f"block_{index}") for index in range(depth)
    ]
