"""From tokens to classes, without painting a maskige in between."""

import keras
from keras import ops

from gss_keras.layers.backend import argmax
from gss_keras.layers.convolution import Conv2D
from gss_keras.losses import masked_cross_entropy
from gss_keras.maskige import check_masks
from gss_keras.metrics import SegmentationScores
from gss_keras.presets import PresetMixin
from gss_keras.stage import Stage
from gss_keras.tokenizer.blocks import unfold_patches


@keras.saving.register_keras_serializable(package="gss_keras")
class DirectDecoder(keras.layers.Layer):
    """Read class logits off tokens at the tokens' own resolution.

    Does at a fraction of the work what the tokenizer's decoder and X^-1 do:
    they paint every pixel's color only to ask for its class. A token is
    looked up, 3x3 convolutions add what its neighbors say, and one more
    scores every class at every pixel of the token's square. It is for the
    classes and colors of one posterior: train it with `Distillation`.

    Args:
        codebook_size: Number of tokens.
        num_classes: Number of classes K.
        stride: Side of a token's square in pixels of the photo.
        channels: Channels of the maps between.
        depth: Number of 3x3 convolutions.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        tokens: Int tensor of shape `(batch, h, w)`, values in
            `[0, codebook_size)`.

    Returns:
        Float32 class logits of shape `(batch, h * stride, w * stride, K)`.
    """

    def __init__(
        self, codebook_size, num_classes, stride=4, channels=48, depth=2,
        **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        self.codebook_size = codebook_size
        self.num_classes = num_classes
        self.stride = stride
        self.channels = channels
        self.depth = depth
        self.lookup = keras.layers.Embedding(
            codebook_size,
            channels,
            embeddings_initializer=keras.initializers.RandomNormal(stddev=1.0),
            name="lookup",
            dtype=self.dtype_policy,
        )
        self.convolutions = [
            Conv2D(
                channels,
                3,
                padding="same",
                kernel_initializer="he_normal",
                name=f"convolution_{index}",
                dtype=self.dtype_policy,
            )
            for index in range(depth)
        ]
        self.classifier = keras.layers.Dense(
            stride**2 * num_classes, name="classifier", dtype="float32"
        )

    @classmethod
    def for_posterior(cls, posterior, channels=48, depth=2):
        """Make one, untrained, of the sizes that a posterior asks for."""
        return cls(
            posterior.tokenizer.codebook_size,
            posterior.num_classes,
            posterior.token_stride,
            channels,
            depth,
        )

    def build(self, input_shape):
        self.lookup.build(input_shape)
        for layer in [*self.convolutions, self.classifier]:
            layer.build((None, None, None, self.channels))

    def call(self, tokens):
        features = self.lookup(tokens)
        for convolution in self.convolutions:
            features = features + convolution(ops.relu(features))
        logits = self.classifier(ops.relu(features))
        return unfold_patches(logits, self.stride)

    def compute_output_shape(self, input_shape):
        batch, *grid = input_shape
        sides = (side and side * self.stride for side in grid)
        return (batch, *sides, self.num_classes)

    def get_config(self):
        return {
            **super().get_config(),
            "codebook_size": self.codebook_size,
            "num_classes": self.num_classes,
            "stride": self.stride,
            "channels": self.channels,
            "depth": self.depth,
        }


@keras.saving.register_keras_serializable(package="gss_keras")
class Distillation(PresetMixin, Stage):
    """Teach a direct decoder to read tokens as a posterior reads them.

    Train with stock `fit` on masks alone: a frozen posterior turns them into
    tokens and these into the masks that its decoder and X^-1 make of them,
    mistakes included. `evaluate` scores what the direct decoder makes of the
    tokens against the true masks, as the posterior's own `evaluate` does.

    Args:
        posterior: A `LatentPosterior`. It is frozen.
        decoder: A `DirectDecoder`; by default a new one, see `decoder`.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        masks: Int tensor of shape `(batch, height, width)`.

    Returns:
        Float32 class logits of shape `(batch, height, width, num_classes)`.

    Raises:
        ValueError: If the decoder's sizes are not the posterior's.

    Example:
    >>> import gss_keras
    >>> posterior = gss_keras.LatentPosterior(
    ...     gss_keras.palettes.maximal_distance(3),
    ...     gss_keras.DiscreteVAE.from_preset("maskige"),
    ... )
    >>> distillation = gss_keras.Distillation(posterior)
    >>> distillation.decoder.stride
    4
    """

    parts = ("posterior", "decoder")
    frozen_part = "posterior"

    def __init__(self, posterior, decoder=None, **kwargs):
        decoder = decoder or DirectDecoder.for_posterior(posterior)
        check_decoder(decoder, posterior)
        super().__init__(**kwargs)
        self.config = {}
        self.posterior = posterior
        self.decoder = decoder
        if not decoder.built:
            decoder.build((None, None, None))
        self.built = True
        self.scores = SegmentationScores(posterior.num_classes)

    def learned_layers(self):
        return [self.decoder]

    def call(self, masks):
        tokens = self.posterior.encode(masks)
        height, width = ops.shape(masks)[1], ops.shape(masks)[2]
        return self.decoder(tokens)[:, :height, :width]

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        del y, sample_weight, training
        read = argmax(self.posterior(x))
        self.scores.update_state(x, argmax(y_pred))
        return masked_cross_entropy(read, y_pred, self.posterior.num_classes)

    def check_data(self, x, y=None):
        del y
        if hasattr(x, "dtype"):
            check_masks(x, self.posterior.num_classes)


def check_decoder(decoder, posterior):
    """Raise a ValueError unless a decoder reads a posterior's tokens."""
    found = decoder.codebook_size, decoder.num_classes, decoder.stride
    asked = (
        posterior.tokenizer.codebook_size,
        posterior.num_classes,
        posterior.token_stride,
    )
    if found != asked:
        raise ValueError(
            "`decoder` must be for the posterior's codebook size, number of "
            f"classes and token stride, {asked}. Make one with "
            f"`DirectDecoder.for_posterior`. Received: {found}"
        )
