"""From classes to tokens, without painting a maskige in between."""

import keras
from keras import ops

from gss_keras.direct.network import DirectNetwork, check_network
from gss_keras.layers.dense import Dense
from gss_keras.layers.vocabulary import Vocabulary
from gss_keras.ops.patches import pad_to_patches, space_to_depth

# A class is told from others by so many numbers; the tokenizer has 3 colors.
_PIXEL_CHANNELS = 8


@keras.saving.register_keras_serializable(package="gss_keras")
class DirectEncoder(DirectNetwork):
    """Guess the tokens of a mask at the tokens' own resolution.

    Does at a fraction of the work, and not without mistakes, what X and the
    tokenizer's encoder do. Every pixel's class is looked up, the pixels of a
    token's square become one vector, 3x3 convolutions add what its neighbors
    say, and the codebook is classified. It is for the classes and colors of
    one posterior: train it with `EncoderDistillation`, then hand it to
    `LatentPosterior.with_encoder`.

    Args:
        codebook_size: Number of tokens.
        num_classes: Number of classes K.
        stride: Side of a token's square in pixels of the mask.
        channels: Channels of the maps between.
        depth: Number of 3x3 convolutions.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        masks: Int tensor of shape `(batch, height, width)`; ids outside
            `[0, num_classes)` are ignored pixels. Any height and width.

    Returns:
        Float32 token logits of shape `(batch, ceil(height / stride),
        ceil(width / stride), codebook_size)`.
    """

    def __init__(
        self, codebook_size, num_classes, stride=4, channels=64, depth=2,
        **kwargs,
    ):  # fmt: skip
        super().__init__(
            codebook_size, num_classes, stride, channels, depth, **kwargs
        )
        self.lookup = keras.layers.Embedding(
            num_classes + 1,
            _PIXEL_CHANNELS,
            embeddings_initializer=keras.initializers.RandomNormal(stddev=1.0),
            name="lookup",
            dtype=self.dtype_policy,
        )
        self.square = Dense(channels, name="square", dtype=self.dtype_policy)
        self.vocabulary = Vocabulary(
            codebook_size, name="vocabulary", dtype=self.dtype_policy
        )

    def build(self, input_shape):
        self.lookup.build(input_shape)
        pixels = self.stride**2 * _PIXEL_CHANNELS
        self.square.build((None, None, None, pixels))
        for layer in [*self.convolutions, self.vocabulary]:
            layer.build((None, None, None, self.channels))

    def call(self, masks):
        return self.vocabulary(self.extract_features(masks))

    def encode(self, masks, scale=1):
        """Return the most probable tokens, computed in chunks of positions.

        Args:
            masks: As for the call, but upscaled `scale` times.
            scale: Factor by which the masks were upscaled.

        Returns:
            Int32 tensor `(batch, ceil(height / stride),
            ceil(width / stride))`.
        """
        features = self.extract_features(masks[:, ::scale, ::scale])
        return self.vocabulary.best_tokens(features)

    def extract_features(self, masks):
        """Return the feature map that the vocabulary classifies.

        Args:
            masks: As for the call.

        Returns:
            Float tensor `(batch, ceil(height / stride),
            ceil(width / stride), channels)`.
        """
        ids = pad_to_patches(masks, self.num_classes, self.stride)
        pixels = self.lookup(space_to_depth(ids, self.stride))
        _, rows, columns, count, channels = ops.shape(pixels)
        shape = -1, rows, columns, count * channels
        return self.mix(self.square(ops.reshape(pixels, shape)))

    def compute_output_shape(self, input_shape):
        batch, *sides = input_shape
        grid = (side and -(-side // self.stride) for side in sides)
        return (batch, *grid, self.codebook_size)


def check_encoder(encoder, posterior):
    """Refuse an encoder that cannot give a posterior's masks tokens.

    Raises:
        ValueError: If its sizes are not the posterior's, or the posterior's
            colors are to be learned: it knows the old ones only.
    """
    if posterior.config["is_palette_learned"]:
        raise ValueError(
            "`encoder` must be for colors that stay as they are. Learn the "
            "colors first, then make an encoder and hand it to "
            f"`with_encoder`. Received: encoder={encoder!r} with "
            "is_palette_learned=True"
        )
    check_network("encoder", encoder, posterior)
