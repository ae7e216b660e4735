"""Discriminative segmenter: per-pixel classification, for comparison."""

import keras
from keras import layers, ops

from gss_keras.constants import STRIDES
from gss_keras.heads import HEADS, Head
from gss_keras.models.base_segmenter import BaseSegmenter
from gss_keras.ops.backend import resize_bilinear
from gss_keras.ops.padding import crop, pad_edges


@keras.saving.register_keras_serializable(package="gss_keras")
class DiscriminativeSegmenter(BaseSegmenter):
    """Segment photos by per-pixel classification.

    The baseline for `GenerativeSegmenter`: the same backbones, the same `fit`
    on photos and masks, the same `predict` and `evaluate`. A head maps the
    backbone's feature pyramid to features at 1/4 of the photo; dropout and a
    linear classifier follow, and the logits are upsampled bilinearly.

    Args:
        backbone: As for `LatentPrior`.
        num_classes: Number of classes.
        head: "fcn", "segformer" or "deeplab_v3_plus", see `gss_keras.heads`;
            or a `gss_keras.heads.Head`, which is not to be shared.
        channels: Channels of a head given by its name.
        dropout: Probability with which a channel of the head's output is
            dropped in training (spatial dropout).
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
        is_layer = isinstance(head, Head)
        if not is_layer and head not in HEADS:
            raise ValueError(
                f"`head` must be one of {sorted(HEADS)} or a "
                f"`gss_keras.heads.Head`. Received: head={head!r}"
            )
        super().__init__(num_classes, window, stride, **kwargs)
        self.config |= {
            "num_classes": num_classes,
            "head": keras.saving.serialize_keras_object(head)
            if is_layer
            else head,
            "channels": channels,
            "dropout": dropout,
        }
        self.backbone = backbone
        pyramid = backbone(keras.Input((None, None, 3)))
        shapes = {stride: tuple(map_.shape) for stride, map_ in pyramid.items()}
        self.head = head if is_layer else HEADS[head](channels, name="head")
        self.head.build(shapes)
        self.dropout = layers.SpatialDropout2D(dropout, name="dropout")
        self.classifier = layers.Dense(
            num_classes, name="classifier", dtype="float32"
        )
        self.classifier.build(self.head.compute_output_shape(shapes))
        self.built = True

    def learned_layers(self):
        return [self.backbone, self.head, self.dropout, self.classifier]

    def compute_logits(self, photos, training=False):
        """Follow a photo: backbone -> head -> classifier -> logits."""
        height, width = ops.shape(photos)[1:3]
        photos = pad_edges(ops.cast(photos, self.compute_dtype), STRIDES[-1])
        pyramid = self.backbone(photos, training=training)
        features = self.head(pyramid, training=training)
        logits = self.classifier(self.dropout(features, training=training))
        logits = resize_bilinear(logits, *ops.shape(photos)[1:3])
        return crop(logits, height, width)

    @classmethod
    def from_config(cls, config):
        head = config.get("head")
        if isinstance(head, dict):
            head = keras.saving.deserialize_keras_object(head)
            config = {**config, "head": head}
        return super().from_config(config)


@keras.saving.register_keras_serializable(package="gss_keras")
class ResizeLike(layers.Layer):
    """Resize feature maps bilinearly to the size of others.

    It remains for functional models that were saved with it.

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
