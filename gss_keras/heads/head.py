"""Base class of the heads of discriminative segmenters."""

import keras

from gss_keras.constants import STRIDES


class Head(keras.layers.Layer):
    """Map a backbone's feature pyramid to features at 1/4 of the photo.

    `DiscriminativeSegmenter` applies dropout and a linear classifier to the
    output. A head of your own is one subclass, registered for saving: create
    and build its layers in `build`, compute the features in `call`, and pass
    an instance as `head`. Further constructor arguments belong into
    `get_config`.

    Args:
        channels: Output channels.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        features: Dict from stride (4, 8, 16 and 32) to float tensor `(batch,
            height / stride, width / stride, any)`, where the size of the
            photo is a multiple of 32.
        training: Whether the head is being trained.

    Returns:
        Float tensor `(batch, height / 4, width / 4, channels)`.

    Example:
        >>> from gss_keras.layers.conv_norm import ConvNorm
        >>> @keras.saving.register_keras_serializable(package="example")
        ... class FinestHead(Head):
        ...     def build(self, features_shape):
        ...         self.conv = ConvNorm(self.channels, 3, name="conv")
        ...         self.conv.build(features_shape[4])
        ...     def call(self, features, training=None):
        ...         return self.conv(features[4], training=training)
        >>> shapes = {stride: (1, 64 // stride, 64 // stride, 8)
        ...           for stride in STRIDES}
        >>> FinestHead(channels=5).compute_output_shape(shapes)
        (1, 16, 16, 5)
    """

    def __init__(self, channels=128, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels

    def compute_output_shape(self, features_shape):
        """Return the shape of the finest level, with other channels."""
        return (*features_shape[STRIDES[0]][:-1], self.channels)

    def get_config(self):
        """Return the constructor arguments as a JSON-serializable dict."""
        return {**super().get_config(), "channels": self.channels}

    def get_build_config(self):
        """Return None: the segmenter builds its head.

        Keras would store the shapes as JSON, whose keys are strings.
        """
