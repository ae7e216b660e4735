"""Multi-level feature fusion at the finest stride of a feature pyramid."""

import keras
from keras import ops

from gss_keras.layers.conv_norm import ProjectionBlock
from gss_keras.ops.backend import resize_bilinear


@keras.saving.register_keras_serializable(package="gss_keras")
class LevelFusion(keras.layers.Layer):
    """Fuse a feature pyramid into one feature map of its finest stride.

    Every level is projected to `level_channels` by a 1x1 conv-BN-ReLU and
    resized bilinearly to the size of the finest one. Concatenated, they are
    projected to `channels`.

    Args:
        level_channels: Channels of each projected level.
        channels: Channels of the fused feature map.
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
