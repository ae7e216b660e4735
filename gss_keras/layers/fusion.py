"""Bring the levels of a feature pyramid together at its finest one."""

import keras
from keras import ops

from gss_keras.layers.normalization import (
    BatchNormalization,
    normalize_within,
)
from gss_keras.ops.backend import resize_bilinear
from gss_keras.ops.kernels import convolve


@keras.saving.register_keras_serializable(package="gss_keras")
class ProjectionBlock(keras.layers.Layer):
    """Project every position to other channels: 1x1 conv, batch norm, ReLU.

    Args:
        channels: Channels of the result.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        features: Float tensor of shape `(batch, height, width, any)`.
        training: Whether batch statistics are used and updated.

    Returns:
        Tensor of shape `(batch, height, width, channels)`, at least 0.
    """

    def __init__(self, channels, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        # Kaiming normal by fan-out: the fan-out of a 1x1 kernel is `channels`.
        self.convolution = keras.layers.Dense(
            channels,
            use_bias=False,
            kernel_initializer=keras.initializers.VarianceScaling(
                2.0, "fan_out", "untruncated_normal"
            ),
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
        if self.convolution.quantization_mode is not None:
            x = self.norm(self.convolution(features), training=training)
        else:
            x = normalize_within(
                lambda kernel, bias: convolve(features, kernel, bias=bias),
                self.convolution.kernel[None, None],
                self.norm,
                training,
            )
        return ops.relu(x)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.channels)

    def get_config(self):
        return {**super().get_config(), "channels": self.channels}


@keras.saving.register_keras_serializable(package="gss_keras")
class LevelFusion(keras.layers.Layer):
    """Fuse a feature pyramid into one map of its finest stride.

    Every level is projected to `level_channels`, resized to the size of the
    finest one, and all together are projected to `channels`.

    Args:
        level_channels: Channels of each projected level.
        channels: Channels of the fused map.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        levels: List of float tensors `(batch, height, width, any)`, finest
            first.
        training: Whether batch statistics are used and updated.

    Returns:
        Tensor of shape `(batch, height, width, channels)` of the first level.

    Reference:
        The multi-level aggregation of the paper, section 3.3. The release
        concatenates strides 8, 4, 16, 32 in this order; here 4, 8, 16, 32.
    """

    def __init__(self, level_channels, channels, **kwargs):
        super().__init__(**kwargs)
        self.level_channels = level_channels
        self.channels = channels
        self.fuse = ProjectionBlock(
            channels, name="fuse", dtype=self.dtype_policy
        )

    def build(self, input_shape):
        self.projections = [
            ProjectionBlock(
                self.level_channels,
                name=f"level_{index}",
                dtype=self.dtype_policy,
            )
            for index in range(len(input_shape))
        ]
        for projection, shape in zip(
            self.projections, input_shape, strict=True
        ):
            projection.build(shape)
        total = self.level_channels * len(input_shape)
        self.fuse.build((*input_shape[0][:-1], total))

    def call(self, levels, training=None):
        height, width = ops.shape(levels[0])[1], ops.shape(levels[0])[2]
        projected = [
            projection(level, training=training)
            for projection, level in zip(self.projections, levels, strict=True)
        ]
        resized = projected[:1] + [
            resize_bilinear(level, height, width) for level in projected[1:]
        ]
        return self.fuse(ops.concatenate(resized, axis=-1), training=training)

    def compute_output_shape(self, input_shape):
        return (*input_shape[0][:-1], self.channels)

    def get_config(self):
        return {
            **super().get_config(),
            "level_channels": self.level_channels,
            "channels": self.channels,
        }
