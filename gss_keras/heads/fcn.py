"""FCN head: fused levels and two convolutions."""

import keras

from gss_keras.constants import STRIDES
from gss_keras.heads.head import Head
from gss_keras.layers.conv_norm import ConvNorm
from gss_keras.layers.fusion import LevelFusion


@keras.saving.register_keras_serializable(package="gss_keras")
class FCNHead(Head):
    """FCN head: all levels are fused, then two 3x3 conv-BN-ReLU.

    The levels are fused as in a `LatentPrior`. Arguments, input and output
    are those of `Head`.

    Reference:
        Long et al., "Fully Convolutional Networks for Semantic
        Segmentation", arXiv 1411.4038; the head as it is common today.
    """

    def build(self, features_shape):
        dtype = self.dtype_policy
        shapes = [tuple(features_shape[stride]) for stride in STRIDES]
        self.fusion = LevelFusion(
            self.channels // 2, self.channels, name="fusion", dtype=dtype
        )
        self.fusion.build(shapes)
        self.convs = build_convs(self.channels, self.channels, dtype)

    def call(self, features, training=None):
        levels = [features[stride] for stride in STRIDES]
        x = self.fusion(levels, training=training)
        for conv in self.convs:
            x = conv(x, training=training)
        return x


def build_convs(channels, inputs, dtype):
    """Return two 3x3 conv-BN-ReLU layers, built.

    Args:
        channels: Output channels.
        inputs: Channels of the first one's input.
        dtype: Name or policy of the layers' dtype.
    """
    convs = []
    for index in range(2):
        conv = ConvNorm(
            channels,
            3,
            kernel_initializer="he_normal",
            name=f"convolution_{index}",
            dtype=dtype,
        )
        conv.build((None, None, None, channels if index else inputs))
        convs.append(conv)
    return convs
