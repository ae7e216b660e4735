"""A convolution over one-hot tokens, computed by lookup."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="gss_keras")
class Neighborhood(keras.layers.Layer):
    """Apply a convolution over one-hot tokens, in its lookup form.

    A convolution over one-hot vectors sums one row of the kernel per kernel
    position. Here these rows are looked up, as in an embedding, and summed,
    which costs no FLOPs. Positions outside of the map have a token of their
    own, with a row per kernel position.

    Args:
        codebook_size: Number of tokens.
        channels: Number of output channels.
        side: Kernel size, odd; with 1 the layer is an embedding.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        tokens: Int tensor of shape `(batch, h, w)`, values in
            `[0, codebook_size)`.

    Returns:
        Float tensor of shape `(batch, h, w, channels)`.
    """

    def __init__(self, codebook_size, channels, side=1, **kwargs):
        super().__init__(**kwargs)
        self.codebook_size = codebook_size
        self.channels = channels
        self.side = side

    def build(self, input_shape):
        del input_shape
        self.rows = self.add_weight(
            shape=(self.side**2 * (self.codebook_size + 1), self.channels),
            # So that the sum of side**2 rows has unit variance.
            initializer=keras.initializers.RandomNormal(stddev=1 / self.side),
            name="rows",
        )

    def call(self, tokens):
        margin, outside = self.side // 2, self.codebook_size
        height, width = ops.shape(tokens)[1], ops.shape(tokens)[2]
        tokens = ops.pad(
            tokens,
            [[0, 0], [margin, margin], [margin, margin]],
            constant_values=outside,
        )
        rows = ops.convert_to_tensor(self.rows)
        total = 0.0
        for position in range(self.side**2):
            down, right = divmod(position, self.side)
            shifted = tokens[:, down : down + height, right : right + width]
            indices = shifted + position * (outside + 1)
            total += ops.take(rows, indices, axis=0)
        return total

    def compute_output_shape(self, input_shape):
        return (*input_shape, self.channels)

    def get_config(self):
        return {
            **super().get_config(),
            "codebook_size": self.codebook_size,
            "channels": self.channels,
            "side": self.side,
        }
