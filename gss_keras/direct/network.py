"""What the light networks between tokens and classes have in common."""

import keras
from keras import ops

from gss_keras.layers.convolution import Conv2D


class DirectNetwork(keras.layers.Layer):
    """Let tokens' squares of one posterior look at their neighbors.

    A subclass looks up what lies at each square, has `mix` add what the
    squares around it say, and scores what it is there to tell. It is for the
    classes, colors and tokens of one posterior.

    Args:
        codebook_size: Number of tokens.
        num_classes: Number of classes K.
        stride: Side of a token's square in pixels of the photo.
        channels: Channels of the maps between.
        depth: Number of 3x3 convolutions.
        **kwargs: Passed to `keras.layers.Layer`.
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

    @classmethod
    def for_posterior(cls, posterior, **kwargs):
        """Make one, untrained, of the sizes that a posterior asks for.

        Args:
            posterior: A `LatentPosterior`.
            **kwargs: Passed to the class: `channels`, `depth`.
        """
        network = cls(*_sizes(posterior), **kwargs)
        network.build((None, None, None))
        return network

    def mix(self, features):
        """Add what the squares around each one say.

        Args:
            features: Float tensor of shape `(batch, h, w, channels)`.

        Returns:
            Tensor of the same shape, nowhere below 0.
        """
        for convolution in self.convolutions:
            features = features + convolution(ops.relu(features))
        return ops.relu(features)

    def get_config(self):
        return {
            **super().get_config(),
            "codebook_size": self.codebook_size,
            "num_classes": self.num_classes,
            "stride": self.stride,
            "channels": self.channels,
            "depth": self.depth,
        }


def check_network(part, network, posterior):
    """Refuse a network that is for another posterior's tokens or classes.

    Args:
        part: Name of the argument, "decoder" or "encoder".
        network: A `DirectNetwork`.
        posterior: A `LatentPosterior`.

    Raises:
        ValueError: If the network's sizes are not the posterior's.
    """
    found = network.codebook_size, network.num_classes, network.stride
    asked = _sizes(posterior)
    if found != asked:
        raise ValueError(
            f"`{part}` must be for the posterior's codebook size, number of "
            f"classes and token stride, {asked}. Make one with "
            f"`{type(network).__name__}.for_posterior`. Received: {found}"
        )


def _sizes(posterior):
    return (
        posterior.tokenizer.codebook_size,
        posterior.num_classes,
        posterior.token_stride,
    )
