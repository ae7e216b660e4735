"""Swin blocks: shifted window attention and an MLP."""

import keras
import numpy as np
from keras import ops

from gss_keras.layers.dense import Dense
from gss_keras.ops.kernels import attention, gelu
from gss_keras.ops.padding import crop

# Attention mask value between positions that the cyclic shift brought into one
# window from opposite borders; the value of the original Swin.
_MASKED = -100.0


@keras.saving.register_keras_serializable(package="gss_keras")
class WindowAttention(keras.layers.Layer):
    """Apply multi-head self-attention within (shifted) windows.

    The feature map is partitioned into windows of `window x window` positions.
    With a shift, the partition moves down and right by `shift` positions, so
    that positions of different windows in one block share a window in the
    next. The feature map may have any size: it is padded with zeros at the
    bottom and the right, and the padding is not masked.

    Args:
        channels: Number of input and output channels, a multiple of `heads`.
        heads: Number of attention heads.
        window: Side of a window in positions.
        shift: Shift of the windows in positions, from 0 to `window - 1`.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        features: Float tensor of shape `(batch, height, width, channels)`.

    Returns:
        Tensor of the same shape.

    Raises:
        ValueError: If `channels` is not a multiple of `heads`, or `shift` is
            not below `window`.

    Reference:
        Liu et al., "Swin Transformer", ICCV 2021, section 3.2.
    """

    def __init__(self, channels, heads, window=7, shift=0, **kwargs):
        if channels % heads:
            raise ValueError(
                "`channels` must be a multiple of `heads`. "
                f"Received: channels={channels}, heads={heads}"
            )
        if not 0 <= shift < window:
            raise ValueError(
                "`shift` must be at least 0 and below `window`. "
                f"Received: shift={shift}, window={window}"
            )
        super().__init__(**kwargs)
        self.channels = channels
        self.heads = heads
        self.window = window
        self.shift = shift
        self.query_key_value = Dense(
            3 * channels, name="query_key_value", dtype=self.dtype_policy
        )
        self.projection = Dense(
            channels, name="projection", dtype=self.dtype_policy
        )
        self._bias_index = relative_positions(window)

    def build(self, input_shape):
        self.query_key_value.build(input_shape)
        self.projection.build(input_shape)
        self.relative_position_bias = self.add_weight(
            shape=((2 * self.window - 1) ** 2, self.heads),
            initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            name="relative_position_bias",
        )

    def call(self, features):
        height, width = ops.shape(features)[1], ops.shape(features)[2]
        down, right = -height % self.window, -width % self.window
        x = ops.pad(features, [[0, 0], [0, down], [0, right], [0, 0]])
        if self.shift:
            x = ops.roll(x, (-self.shift, -self.shift), axis=(1, 2))
        x = self._attend(self._partition(x), height + down, width + right)
        x = self._merge(x, height + down, width + right)
        if self.shift:
            x = ops.roll(x, (self.shift, self.shift), axis=(1, 2))
        return crop(x, height, width)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.channels)

    def get_config(self):
        return {
            **super().get_config(),
            "channels": self.channels,
            "heads": self.heads,
            "window": self.window,
            "shift": self.shift,
        }

    def _partition(self, x):
        """Partition `(b, h, w, c)` into `(b, windows, positions, c)`."""
        side, (_, height, width, channels) = self.window, ops.shape(x)
        rows, columns = height // side, width // side
        x = ops.reshape(x, (-1, rows, side, columns, side, channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, rows * columns, side * side, channels))

    def _merge(self, windows, height, width):
        """Merge `(b, windows, positions, c)` to `(b, h, w, c)`."""
        side, channels = self.window, self.channels
        rows, columns = height // side, width // side
        x = ops.reshape(windows, (-1, rows, columns, side, side, channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, height, width, channels))

    def _attend(self, windows, height, width):
        count, positions = ops.shape(windows)[1], self.window**2
        per_head = self.channels // self.heads

        def split_heads(x):
            # TensorFlow transposes tensors of more than four axes slowly.
            x = ops.reshape(x, (-1, positions, self.heads, per_head))
            x = ops.transpose(x, (0, 2, 1, 3))
            return ops.reshape(x, (-1, count, *ops.shape(x)[1:]))

        projected = ops.split(self.query_key_value(windows), 3, axis=-1)
        query, key, value = map(split_heads, projected)
        bias = self._bias()
        if self.shift:
            bias = bias + self._attention_mask(height, width)
        x = attention(query, key, value, bias)
        x = ops.transpose(x, (0, 1, 3, 2, 4))
        x = ops.reshape(x, (-1, count, positions, self.channels))
        return self.projection(x)

    def _bias(self):
        bias = ops.take(self.relative_position_bias, self._bias_index, axis=0)
        return ops.cast(ops.transpose(bias, (2, 0, 1)), "float32")

    def _attention_mask(self, height, width):
        """Mask the pairs of positions from opposite borders."""

        def region(size):
            index = ops.arange(size)
            wrapped = ops.cast(index >= size - self.shift, "int32")
            return ops.cast(index >= size - self.window, "int32") + wrapped

        regions = 3 * region(height)[:, None] + region(width)[None, :]
        regions = self._partition(regions[None, :, :, None])[0, :, :, 0]
        differ = regions[:, :, None] != regions[:, None, :]
        return ops.cast(differ, "float32")[:, None] * _MASKED


def relative_positions(window):
    """Return the index of the relative position of each pair in a window.

    Args:
        window: Side of a window in positions.

    Returns:
        Int32 `(window**2, window**2)`, values in `[0, (2 * window - 1)**2)`.
    """
    rows, columns = np.divmod(np.arange(window**2), window)
    down = rows[:, None] - rows[None, :] + window - 1
    right = columns[:, None] - columns[None, :] + window - 1
    return (down * (2 * window - 1) + right).astype("int32")


@keras.saving.register_keras_serializable(package="gss_keras")
class SwinBlock(keras.layers.Layer):
    """Apply a Swin block: window attention, then an MLP.

    Both are residual branches with layer normalization first.

    Args:
        channels: Number of input and output channels, a multiple of `heads`.
        heads: Number of attention heads.
        hidden: Hidden size of the MLP.
        window: Side of a window in positions.
        shift: Shift of the windows in positions.
        drop_path: Stochastic depth: probability with which each residual
            branch of a sample is dropped in training.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        features: Float tensor of shape `(batch, height, width, channels)`.
        training: Whether to apply stochastic depth.

    Returns:
        Tensor of the same shape.

    Reference:
        Liu et al., "Swin Transformer", ICCV 2021, equation 3.
    """

    def __init__(
        self, channels, heads, hidden, window=7, shift=0, drop_path=0.0,
        **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        self.channels = channels
        self.heads = heads
        self.hidden = hidden
        self.window = window
        self.shift = shift
        self.drop_path = drop_path
        layers, dtype = keras.layers, self.dtype_policy
        self.attention_norm = layers.LayerNormalization(
            epsilon=1e-5, name="attention_norm", dtype=dtype
        )
        self.attention = WindowAttention(
            channels, heads, window, shift, name="attention", dtype=dtype
        )
        self.mlp_norm = layers.LayerNormalization(
            epsilon=1e-5, name="mlp_norm", dtype=dtype
        )
        self.expand = Dense(hidden, activation=gelu, name="expand", dtype=dtype)
        self.reduce = Dense(channels, name="reduce", dtype=dtype)
        # Stochastic depth: the noise shape drops whole samples.
        self.drop = layers.Dropout(
            drop_path, noise_shape=(None, 1, 1, 1), name="drop", dtype=dtype
        )

    def build(self, input_shape):
        self.attention_norm.build(input_shape)
        self.attention.build(input_shape)
        self.mlp_norm.build(input_shape)
        self.expand.build(input_shape)
        self.reduce.build((*input_shape[:-1], self.hidden))

    def call(self, features, training=None):
        x = self.attention(self.attention_norm(features))
        features = features + self.drop(x, training=training)
        x = self.reduce(self.expand(self.mlp_norm(features)))
        return features + self.drop(x, training=training)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "channels": self.channels,
            "heads": self.heads,
            "hidden": self.hidden,
            "window": self.window,
            "shift": self.shift,
            "drop_path": self.drop_path,
        }


def swin_blocks(channels, depth, heads, window, dtype=None):
    """Create Swin blocks with regular and shifted windows in alternation.

    Args:
        channels: Number of input and output channels, a multiple of `heads`.
        depth: Number of blocks.
        heads: Number of attention heads.
        window: Side of a window in positions; the shift is half of it.
        dtype: Dtype or dtype policy of the layers.

    Returns:
        List of `SwinBlock`, named `block_0` and so on. The hidden size of
        their MLPs is `2 * channels`.
    """
    return [
        SwinBlock(
            channels,
            heads,
            hidden=2 * channels,
            window=window,
            shift=window // 2 if index % 2 else 0,
            name=f"block_{index}",
            dtype=dtype,
        )
        for index in range(depth)
    ]
