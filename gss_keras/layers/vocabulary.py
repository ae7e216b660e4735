"""The classifier over the codebook, the widest map of the prior."""

import keras
from keras import ops

from gss_keras.layers.backend import argmax


@keras.saving.register_keras_serializable(package="gss_keras")
class Vocabulary(keras.layers.Layer):
    """Score every entry of the codebook at every position.

    A 1x1 convolution from features to token logits that is asked for what
    is needed, the best token or the cross-entropy, so that callers never
    handle the logits themselves.

    Args:
        codebook_size: Number of tokens to choose from.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        features: Float tensor of shape `(batch, h, w, channels)`.

    Returns:
        Float32 token logits of shape `(batch, h, w, codebook_size)`.

    Reference:
        The token classifier starts from N(0, 0.01) and zero bias, as in the
        official release.
    """

    def __init__(self, codebook_size, **kwargs):
        super().__init__(**kwargs)
        self.codebook_size = codebook_size

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.codebook_size),
            initializer=keras.initializers.RandomNormal(stddev=0.01),
            name="kernel",
        )
        self.bias = self.add_weight(
            shape=(self.codebook_size,), initializer="zeros", name="bias"
        )

    def call(self, features):
        logits = ops.matmul(features, self.kernel) + self.bias
        return ops.cast(logits, "float32")

    def best_tokens(self, features):
        """Return the likeliest token of every position, int32 `(b, h, w)`."""
        return argmax(self(features))

    def cross_entropy(self, features, tokens):
        """Measure how surprised the prior is by the true tokens.

        Args:
            features: Float tensor of shape `(batch, h, w, channels)`.
            tokens: Int tensor of shape `(batch, h, w)`, values in
                `[0, codebook_size)`.

        Returns:
            Float32 tensor of shape `(batch, h, w)`, in nats, and the
            likeliest tokens, an int32 tensor of the same shape.
        """
        logits = self(features)
        surprise = keras.losses.sparse_categorical_crossentropy(
            tokens, logits, from_logits=True
        )
        return surprise, argmax(logits)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.codebook_size)

    def get_config(self):
        return {**super().get_config(), "codebook_size": self.codebook_size}
