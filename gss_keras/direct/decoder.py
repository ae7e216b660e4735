"""From tokens to classes, without painting a maskige in between."""

import functools

import keras
import numpy as np

from gss_keras.direct.neighborhood import Neighborhood
from gss_keras.direct.network import DirectNetwork, check_network
from gss_keras.direct.token_classes import count_token_classes
from gss_keras.layers.dense import Dense
from gss_keras.tokenizer.blocks import unfold_patches

check_decoder = functools.partial(check_network, "decoder")


@keras.saving.register_keras_serializable(package="gss_keras")
class DirectDecoder(DirectNetwork):
    """Read class logits off tokens at the tokens' own resolution.

    Does at a fraction of the work what the tokenizer's decoder and X^-1 do:
    they paint every pixel's color only to ask for its class. Tokens are
    looked up, each with those around it, 3x3 convolutions mix what they say,
    and one more layer scores every class at every pixel of the token's
    square. What a token says alone comes from a table. Neither of the two
    costs products. It is for the classes and colors of one posterior: train
    it with `DecoderDistillation`.

    Args:
        codebook_size: Number of tokens.
        num_classes: Number of classes K.
        stride: Side of a token's square in pixels of the photo.
        channels: Channels of the maps between.
        depth: Number of 3x3 convolutions.
        table: Whether to have that table, of `codebook_size * stride**2 * K`
            logits; `adapt` fills it.
        side: Odd side of the square of tokens that are looked up together.
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
        # At first neighbors change little of what the table says.
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
        """Fill the table by counting what tokens stand for, before `fit`.

        Args:
            posterior: The `LatentPosterior` that gives masks their tokens.
            masks: Iterable of int masks `(height, width)` of any sizes; ids
                outside `[0, num_classes)` are ignored.

        Raises:
            ValueError: If there is no mask, or the decoder has no table.
        """
        if not self.table:
            raise ValueError(
                "`adapt` needs a decoder with `table=True`. Received: a "
                "decoder without one"
            )
        shares = count_token_classes(posterior, masks)
        self.table.set_weights([np.log(shares)])

    def call(self, tokens):
        logits = self.classifier(self.mix(self.lookup(tokens)))
        if self.table:
            logits = logits + self.table(tokens)
        return unfold_patches(logits, self.stride)

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
