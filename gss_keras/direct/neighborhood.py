"""What a token and those around it add, looked up and not multiplied."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="gss_keras")
class Neighborhood(keras.layers.Layer):
    """Convolve one-hot tokens, by looking up the kernel's rows.

    Every place of the kernel has a vector for each token, and one for what
    lies beyond the map. A position gets the sum of those it sees: what a
    convolution would give, without its products.

    Args:
        codebook_size: Number of tokens.
        channels: Channels of the result.
        side: Odd side of the kernel; 1 looks up each token alone.
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
            # So that sums are as large as numbers of N(0, 1).
            initializer=keras.initializers.RandomNormal(stddev=1 / self.side),
            name="rows",
        )

    def call(self, tokens):
        margin, beyond = self.side // 2, self.codebook_size
        height, width = ops.shape(tokens)[1], ops.shape(tokens)[2]
        tokens = ops.pad(
            tokens,
            [[0, 0], [margin, margin], [margin, margin]],
            constant_values=beyond,
        )
        rows = ops.convert_to_tensor(self.rows)
        total = 0.0
        for place in range(self.side**2):
            down, right = divmod(place, self.side)
            seen = tokens[:, down : down + height, right : right + width]
            total += ops.take(rows, seen + place * (beyond + 1), axis=0)
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
