"""Base class of the lightweight networks between tokens and classes."""

import keras
from keras import ops

from gss_keras.layers.convolution import Conv2D


class DirectNetwork(keras.layers.Layer):
    """Base class of networks of 3x3 convolutions at token resolution.

    A subclass embeds its input, applies `mix`, a stack of residual
    convolutions, and a classifier. The network is specific to the classes,
    colors and tokens of one posterior.

    Args:
        codebook_size: Number of tokens.
        num_classes: Number of classes K.
        stride: Side of a token's patch in pixels of the photo.
        channels: Channels of the hidden feature maps.
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
        """Create an untrained network with the sizes of a posterior.

        Args:
            posterior: A `LatentPosterior`.
            **kwargs: Passed to the class: `channels`, `depth`.

        Returns:
            A network of this class.
        """
        network = cls(*_sizes(posterior), **kwargs)
        network.build((None, None, None))
        return network

    def mix(self, features):
        """Apply the residual 3x3 convolutions, and a ReLU.

        Args:
            features: Float tensor of shape `(batch, h, w, channels)`.

        Returns:
            Non-negative tensor of the same shape.
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
    """Raise a ValueError if a network has other sizes than a posterior.

    Args:
        part: Name of the argument, "decoder" or "encoder".
        network: A `DirectNetwork`.
        posterior: A `LatentPosterior`.

    Raises:
        ValueError: If the network's sizes differ from the posterior's.
    """
    sizes = network.codebook_size, network.num_classes, network.stride
    expected = _sizes(posterior)
    if sizes != expected:
        raise ValueError(
            f"`{part}` must have the posterior's codebook size, number of "
            f"classes and token stride, {expected}. Create one with "
            f"`{type(network).__name__}.for_posterior`. Received: {sizes}"
        )


def _sizes(posterior):
    return (
        posterior.tokenizer.codebook_size,
        posterior.num_classes,
        posterior.token_stride,
    )
