"""DeepLabV3+ head: atrous spatial pyramid pooling and a decoder."""

import keras
from keras import ops

from gss_keras.constants import STRIDES
from gss_keras.heads.fcn import build_convs
from gss_keras.heads.head import Head
from gss_keras.layers.conv_norm import ConvNorm, ProjectionBlock
from gss_keras.ops.backend import resize_bilinear

# At stride 32; DeepLabV3+ has 6, 12 and 18 at stride 16.
_DILATIONS = (3, 6, 9)
_DETAIL_CHANNELS = 48


@keras.saving.register_keras_serializable(package="gss_keras")
class DeepLabV3PlusHead(Head):
    """DeepLabV3+ head: ASPP on the coarsest level, fused with the finest.

    Atrous spatial pyramid pooling concatenates a 1x1 convolution, dilated
    convolutions and the global average of the coarsest level. Its projection
    is upsampled, concatenated with a projection of the finest level and goes
    through two 3x3 conv-BN-ReLU. Arguments, input and output are those of
    `Head`. KerasHub's head fails on TensorFlow where the photo's size is
    unknown.

    Reference:
        Chen et al., "Encoder-Decoder with Atrous Separable Convolution for
        Semantic Image Segmentation", arXiv 1802.02611; dilations halved,
        since the coarsest level has stride 32 where theirs has 16.
    """

    def build(self, features_shape):
        channels, dtype = self.channels, self.dtype_policy
        finest = tuple(features_shape[STRIDES[0]])
        coarsest = tuple(features_shape[STRIDES[-1]])

        def project(width, name, inputs):
            layer = ProjectionBlock(width, name=name, dtype=dtype)
            layer.build((None, None, None, inputs))
            return layer

        self.mean_projection = project(
            channels, "mean_projection", coarsest[-1]
        )
        self.pointwise = project(channels, "pointwise", coarsest[-1])
        self.dilated = []
        for dilation in _DILATIONS:
            conv = ConvNorm(
                channels,
                3,
                dilation=dilation,
                kernel_initializer="he_normal",
                name=f"dilated_{dilation}",
                dtype=dtype,
            )
            conv.build(coarsest)
            self.dilated.append(conv)
        branches = len(_DILATIONS) + 2
        self.pyramid_projection = project(
            channels, "pyramid_projection", branches * channels
        )
        self.details = project(_DETAIL_CHANNELS, "details", finest[-1])
        self.convs = build_convs(channels, channels + _DETAIL_CHANNELS, dtype)

    def call(self, features, training=None):
        finest, coarsest = features[STRIDES[0]], features[STRIDES[-1]]
        x = self._pool_pyramid(coarsest, training)
        x = resize_bilinear(x, *ops.shape(finest)[1:3])
        details = self.details(finest, training=training)
        x = ops.concatenate([x, details], axis=-1)
        for conv in self.convs:
            x = conv(x, training=training)
        return x

    def _pool_pyramid(self, features, training):
        """Apply atrous spatial pyramid pooling (ASPP)."""
        mean = ops.mean(features, axis=(1, 2), keepdims=True)
        mean = self.mean_projection(mean, training=training)
        branches = [
            layer(features, training=training)
            for layer in (self.pointwise, *self.dilated)
        ]
        branches.append(resize_bilinear(mean, *ops.shape(features)[1:3]))
        return self.pyramid_projection(
            ops.concatenate(branches, axis=-1), training=training
        )
