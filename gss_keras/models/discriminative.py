"""Segmenters that classify pixels, to compare a generative one with."""

import keras
from keras import layers, ops

from gss_keras.layers.convolution import Conv2D
from gss_keras.layers.fusion import LevelFusion, ProjectionBlock
from gss_keras.layers.normalization import BatchNormalization
from gss_keras.models.base_segmenter import BaseSegmenter
from gss_keras.ops.backend import resize_bilinear
from gss_keras.ops.padding import crop, pad_edges

_STRIDES = (4, 8, 16, 32)
# DeepLabV3+'s of its map of stride 16, 6, 12 and 18, at stride 32.
_DILATIONS = (3, 6, 9)
_DETAILS = 48


@keras.saving.register_keras_serializable(package="gss_keras")
class DiscriminativeSegmenter(BaseSegmenter):
    """Segment photos by classifying each pixel.

    The rival of `GenerativeSegmenter`: the same backbones, the same `fit` on
    photos and masks, the same `predict` and `evaluate`, but the head gives
    class logits at 1/4 of the photo, which are resized to its size.

    Args:
        backbone: As for `LatentPrior`.
        num_classes: Number of classes.
        head: `"fcn"`: the levels are fused as for a `LatentPrior` and go
            through two 3x3 convolutions. `"segformer"`: each level is
            projected linearly, all are brought to 1/4 and fused by one 1x1
            convolution. `"deeplab_v3_plus"`: dilated convolutions of the
            coarsest level and its mean are fused with the finest level and
            go through two 3x3 convolutions.
        channels: Channels of the head.
        dropout: Probability with which a whole channel of the last map is
            dropped in training.
        window: As for `GenerativeSegmenter`.
        stride: As for `GenerativeSegmenter`.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        photos: Tensor of shape `(batch, height, width, 3)`, uint8 or float,
            raw RGB 0-255. Any height and width.

    Returns:
        Float32 class logits of shape `(batch, height, width, num_classes)`.

    Raises:
        ValueError: If `head` is unknown.

    Reference:
        Long et al., arXiv 1411.4038 (FCN; the head as it is common today);
        Xie et al., arXiv 2105.15203, section 3.2 (SegFormer); Chen et al.,
        arXiv 1802.02611 (DeepLabV3+; dilations halved, since the coarsest
        level has stride 32 where theirs has 16).
    """

    parts = ("backbone",)

    def __init__(
        self,
        backbone,
        num_classes,
        head="fcn",
        channels=128,
        dropout=0.1,
        window=None,
        stride=None,
        **kwargs,
    ):
        if head not in HEADS:
            raise ValueError(
                f"`head` must be one of {sorted(HEADS)}. "
                f"Received: head={head!r}"
            )
        super().__init__(num_classes, window, stride, **kwargs)
        self.config |= {
            "num_classes": num_classes,
            "head": head,
            "channels": channels,
            "dropout": dropout,
        }
        self.backbone = backbone
        photos = keras.Input((None, None, 3), name="photos")
        features = HEADS[head](backbone, photos, channels)
        features = layers.SpatialDropout2D(dropout, name="dropout")(features)
        logits = layers.Dense(num_classes, name="classifier", dtype="float32")(
            features
        )
        self.network = keras.Model(photos, logits, name="network")
        self.built = True

    def learned_layers(self):
        return [self.network]

    def call(self, photos, training=None):
        height, width = ops.shape(photos)[1:3]
        photos = pad_edges(ops.cast(photos, self.compute_dtype), _STRIDES[-1])
        logits = self.network(photos, training=training)
        logits = resize_bilinear(logits, *ops.shape(photos)[1:3])
        return crop(logits, height, width)


def _fcn(backbone, photos, channels):
    maps = backbone(photos)
    levels = [maps[stride] for stride in _STRIDES]
    x = LevelFusion(channels // 2, channels, name="fusion")(levels)
    for index in range(2):
        x = _convolution(x, channels, f"convolution_{index}")
    return x


def _convolution(x, channels, name, dilation=1):
    x = Conv2D(
        channels,
        3,
        padding="same",
        dilation_rate=dilation,
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)
    x = BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _segformer(backbone, photos, channels):
    # KerasHub's decoder must know the photo's size when it is built.
    maps = backbone(photos)
    finest = maps[_STRIDES[0]]
    levels = [
        ResizeLike(name=f"resize_{stride}")(
            layers.Dense(channels, name=f"level_{stride}")(maps[stride]), finest
        )
        for stride in _STRIDES
    ]
    x = layers.Concatenate(name="levels")(levels)
    return ProjectionBlock(channels, name="fuse")(x)


def _deeplab_v3_plus(backbone, photos, channels):
    # KerasHub's fails on TensorFlow where the photo's size is not known.
    maps = backbone(photos)
    finest, coarsest = maps[_STRIDES[0]], maps[_STRIDES[-1]]
    mean = layers.GlobalAveragePooling2D(keepdims=True, name="mean")(coarsest)
    mean = ProjectionBlock(channels, name="mean_projection")(mean)
    x = layers.Concatenate(name="pyramid")(
        [
            ProjectionBlock(channels, name="pointwise")(coarsest),
            *[
                _convolution(coarsest, channels, f"dilated_{rate}", rate)
                for rate in _DILATIONS
            ],
            ResizeLike(name="spread_mean")(mean, coarsest),
        ]
    )
    x = ProjectionBlock(channels, name="pyramid_projection")(x)
    x = ResizeLike(name="upsample")(x, finest)
    details = ProjectionBlock(_DETAILS, name="details")(finest)
    x = layers.Concatenate(name="with_details")([x, details])
    for index in range(2):
        x = _convolution(x, channels, f"convolution_{index}")
    return x


HEADS = {
    "fcn": _fcn,
    "segformer": _segformer,
    "deeplab_v3_plus": _deeplab_v3_plus,
}


@keras.saving.register_keras_serializable(package="gss_keras")
class ResizeLike(layers.Layer):
    """Resize maps bilinearly to the size of others.

    Call arguments:
        features: Float tensor of shape `(batch, any, any, channels)`.
        target: Tensor of shape `(batch, height, width, any)`.

    Returns:
        Tensor of shape `(batch, height, width, channels)`.
    """

    def call(self, features, target):
        return resize_bilinear(features, *ops.shape(target)[1:3])

    def compute_output_shape(self, features_shape, target_shape):
        return (*target_shape[:3], features_shape[-1])
