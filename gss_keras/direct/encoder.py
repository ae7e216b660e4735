"""Encode masks to tokens directly, without a maskige."""

import keras
from keras import ops

from gss_keras.direct.network import DirectNetwork, check_network
from gss_keras.layers.dense import Dense
from gss_keras.layers.vocabulary import Vocabulary
from gss_keras.ops.patches import pad_to_patches, space_to_depth

# Size of the class embedding; maskiges have 3 color channels.
_PIXEL_CHANNELS = 8


@keras.saving.register_keras_serializable(package="gss_keras")
class DirectEncoder(DirectNetwork):
    """Predict the tokens of a mask with a small network at token resolution.

    Approximates X and the tokenizer's encoder at a fraction of the FLOPs. The
    class of every pixel is embedded, a patch embedding projects the pixels of
    a token's patch to one vector, residual 3x3 convolutions follow, and a
    classifier over the codebook. The network is specific to the classes and
    colors of one posterior: train it with `EncoderDistillation`, then pass it
    to `LatentPosterior.with_encoder`.

    Args:
        codebook_size: Number of tokens.
        num_classes: Number of classes K.
        stride: Side of a token's patch in pixels of the mask.
        channels: Channels of the hidden feature maps.
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
    """Raise a ValueError if an encoder does not fit a posterior.

    Args:
        encoder: A `DirectEncoder` or `LookupEncoder`.
        posterior: A `LatentPosterior`.

    Raises:
        ValueError: If the encoder's sizes differ from the posterior's, or the
            posterior's colors are learned: the encoder was trained or built
            for fixed ones.
    """
    if posterior.config["is_palette_learned"]:
        raise ValueError(
            "`encoder` requires a posterior with fixed colors. Learn the "
            "colors first, then create an encoder and pass it to "
            f"`with_encoder`. Received: encoder={encoder!r} with "
            "is_palette_learned=True"
        )
    check_network("encoder", encoder, posterior)
