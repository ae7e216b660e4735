"""SegFormer head: an all-MLP decoder."""

import keras
from keras import layers, ops

from gss_keras.constants import STRIDES
from gss_keras.heads.head import Head
from gss_keras.layers.conv_norm import ProjectionBlock
from gss_keras.ops.backend import resize_bilinear


@keras.saving.register_keras_serializable(package="gss_keras")
class SegFormerHead(Head):
    """SegFormer head: linear projections, fused by one 1x1 conv-BN-ReLU.

    Each level is projected linearly and resized bilinearly to the finest one.
    Arguments, input and output are those of `Head`. KerasHub's decoder needs
    the photo's size when it is built.

    Reference:
        Xie et al., "SegFormer", arXiv 2105.15203, section 3.2.
    """

    def build(self, features_shape):
        dtype = self.dtype_policy
        self.projections = []
        for stride in STRIDES:
            projection = layers.Dense(
                self.channels, name=f"level_{stride}", dtype=dtype
            )
            projection.build(tuple(features_shape[stride]))
            self.projections.append(projection)
        self.fuse = ProjectionBlock(self.channels, name="fuse", dtype=dtype)
        self.fuse.build((None, None, None, len(STRIDES) * self.channels))

    def call(self, features, training=None):
        size = ops.shape(features[STRIDES[0]])[1:3]
        levels = [
            resize_bilinear(projection(features[stride]), *size)
            for stride, projection in zip(
                STRIDES, self.projections, strict=True
            )
        ]
        return self.fuse(ops.concatenate(levels, axis=-1), training=training)
