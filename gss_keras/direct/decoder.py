"""Decode tokens to class logits directly, without a maskige."""

import functools

import keras
import numpy as np

from gss_keras.direct.neighborhood import Neighborhood
from gss_keras.direct.network import DirectNetwork, check_network
from gss_keras.direct.token_classes import count_token_classes
from gss_keras.layers.dense import Dense
from gss_keras.tokenizer.blocks import depth_to_space

check_decoder = functools.partial(check_network, "decoder")


@keras.saving.register_keras_serializable(package="gss_keras")
class DirectDecoder(DirectNetwork):
    """Decode tokens to class logits with a small network at token resolution.

    Replaces the tokenizer's decoder and X^-1, which compute the color of every
    pixel, at a fraction of the FLOPs. The input layer is a convolution over
    one-hot tokens, computed by lookup, see `Neighborhood`. Residual 3x3
    convolutions follow, and a dense layer that returns the logits of all
    pixels of a token's patch. A table of logits for each token on its own is
    added. Lookups cost no FLOPs. The network is specific to the classes and
    colors of one posterior: train it with `DecoderDistillation`.

    Args:
        codebook_size: Number of tokens.
        num_classes: Number of classes K.
        stride: Side of a token's patch in pixels of the photo.
        channels: Channels of the hidden feature maps.
        depth: Number of 3x3 convolutions.
        table: Whether to add the table of `codebook_size * stride**2 * K`
            logits, which `adapt` initializes.
        side: Kernel size of the convolution over one-hot tokens; odd.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        tokens: Int tensor of shape `(batch, h, w)`, values in
            `[0, codebook_size)`.

    Returns:
        Float32 class logits of shape `(batch, h * stride, w * stride, K)`.
    """

    def __init__(
        self, codebook_size, num_classes, stride=4, channels=48, depth=2,
        table=True, side=5, **kwargs,
    ):  # fmt: skip
        super().__init__(
            codebook_size, num_classes, stride, channels, depth, **kwargs
        )
        size = stride**2 * num_classes
        self.table = None
        if table:
            self.table = keras.layers.Embedding(
                codebook_size,
                size,
                embeddings_initializer="zeros",
                name="table",
                dtype="float32",
            )
        self.lookup = Neighborhood(
            codebook_size, channels, side,
            name="lookup", dtype=self.dtype_policy,
        )  # fmt: skip
        # Small initial weights, so that the table dominates at first.
        self.classifier = Dense(
            size,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            name="classifier",
            dtype="float32",
        )

    def build(self, input_shape):
        self.lookup.build(input_shape)
        if self.table:
            self.table.build(input_shape)
        for layer in [*self.convolutions, self.classifier]:
            layer.build((None, None, None, self.channels))

    def adapt(self, posterior, masks):
        """Initialize the table with class log-probabilities, before `fit`.

        See `count_token_classes`.

        Args:
            posterior: The `LatentPosterior` that encodes masks to tokens.
            masks: Iterable of int masks `(height, width)` of any sizes; ids
                outside `[0, num_classes)` are ignored.

        Raises:
            ValueError: If there is no mask, or the decoder has no table.
        """
        if not self.table:
            raise ValueError(
                "`adapt` needs a decoder with a table. Create it with "
                "`table=True`. Received: a decoder with table=False"
            )
        probabilities = count_token_classes(posterior, masks)
        self.table.set_weights([np.log(probabilities)])

    def call(self, tokens):
        logits = self.classifier(self.mix(self.lookup(tokens)))
        if self.table:
            logits = logits + self.table(tokens)
        return depth_to_space(logits, self.stride)

    def compute_output_shape(self, input_shape):
        batch, *grid = input_shape
        sides = (side and side * self.stride for side in grid)
        return (batch, *sides, self.num_classes)

    def get_config(self):
        return {
            **super().get_config(),
            "table": self.table is not None,
            "side": self.lookup.side,
        }
