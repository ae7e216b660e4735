"""The classifier over the codebook, the widest map of the prior."""

import keras
from keras import ops

from gss_keras.layers.backend import argmax, scan_in_turn, with_gradients

# Most logits held at a time: 32 MB.
_HELD = 2**23


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

    @property
    def is_wide(self):
        """Whether the logits would be the largest map by far."""
        return self.codebook_size > 2 * self.kernel.shape[0]

    def call(self, features):
        return _score(features, self.kernel, self.bias)

    def best_tokens(self, features):
        """Return the likeliest token of every position, int32 `(b, h, w)`."""
        return self._ask(features, argmax)[0]

    def likeliest(self, features):
        """Find the likeliest token of every position, and how likely it is.

        Args:
            features: Float tensor of shape `(batch, h, w, channels)`.

        Returns:
            Int32 tokens and float32 probabilities, both `(batch, h, w)`.
        """
        return self._ask(features, argmax, _highest_share)

    def _ask(self, features, *questions):
        """Put questions to the logits of every position, without its axis."""
        if not self.is_wide:
            logits = self(features)
            return tuple(question(logits) for question in questions)
        rows, restore = self._chunks(features)
        kernel, bias = self._weights()

        def step(index, carry):
            logits = _score(rows[index], kernel, bias)
            return carry, tuple(question(logits) for question in questions)

        _, answers = scan_in_turn(ops.shape(rows)[0], step, ())
        return tuple(map(restore, answers))

    def cross_entropy(self, features, tokens, counted, training=True):
        """Measure how surprised the prior is by the true tokens.

        Where the codebook is more than twice as large as there are channels,
        the logits are never held all at once: a chunk of positions is scored
        at a time, and its gradients are worked out before the next one.

        Args:
            features: Float tensor of shape `(batch, h, w, channels)`.
            tokens: Int tensor of shape `(batch, h, w)`, values in
                `[0, codebook_size)`.
            counted: Float32 tensor of shape `(batch, h, w)`, the weight of
                each position.
            training: Whether gradients will be asked for.

        Returns:
            Float32 scalar, the weighted sum over all positions, in nats, and
            the likeliest tokens, an int32 tensor of shape `(batch, h, w)`.
        """
        if not self.is_wide:
            logits = self(features)
            surprise = keras.losses.sparse_categorical_crossentropy(
                tokens, logits, from_logits=True
            )
            return ops.sum(surprise * counted), argmax(logits)
        rows, restore = self._chunks(features)
        tokens, _ = self._chunks(ops.cast(tokens, "int32")[..., None])
        counted, _ = self._chunks(counted[..., None])
        inputs = (rows, tokens, counted, *self._weights())
        if training:
            total, (best,) = with_gradients(_surprise_and_gradients, *inputs)
        else:
            total, best = _surprise(*inputs)
        return total, restore(best)

    def _weights(self):
        weights = self.kernel, self.bias
        return tuple(ops.convert_to_tensor(weight) for weight in weights)

    def _chunks(self, maps):
        """Divide positions into chunks whose logits are few enough to hold.

        Args:
            maps: Tensor of shape `(batch, h, w, channels)`.

        Returns:
            Tensor of shape `(count, size, channels)`, filled up with zeros,
            and the function that turns a tensor of shape `(count, size)`
            back to shape `(batch, h, w)`.
        """
        *shape, channels = ops.shape(maps)
        positions = shape[0] * shape[1] * shape[2]
        size = max(1, _HELD // self.codebook_size)
        count = -(-positions // size)
        if isinstance(positions, int):
            size = -(-positions // max(1, count))
        rows = ops.reshape(maps, (-1, channels))
        rows = ops.pad(rows, [[0, count * size - positions], [0, 0]])

        def restore(chunks):
            return ops.reshape(ops.reshape(chunks, (-1,))[:positions], shape)

        return ops.reshape(rows, (count, size, channels)), restore

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.codebook_size)

    def get_config(self):
        return {**super().get_config(), "codebook_size": self.codebook_size}


def _score(features, kernel, bias):
    """Return float32 token logits, computed in the type of the features."""
    kernel, bias = (ops.cast(w, features.dtype) for w in (kernel, bias))
    return ops.cast(ops.matmul(features, kernel) + bias, "float32")


def _highest_share(logits):
    """Return the probability of the likeliest entry."""
    highest = ops.max(logits, axis=-1, keepdims=True)
    return 1 / ops.sum(ops.exp(logits - highest), axis=-1)


def _surprise(rows, tokens, counted, kernel, bias):
    """Sum the surprise over all chunks, and take the best tokens."""

    def step(index, carry):
        logits = _score(rows[index], kernel, bias)
        surprise, _ = _compare(logits, tokens[index])
        total = carry[0] + ops.sum(surprise * counted[index])
        return (total,), (argmax(logits),)

    (total,), (best,) = scan_in_turn(
        ops.shape(rows)[0], step, (ops.zeros((), "float32"),)
    )
    return total, best


def _surprise_and_gradients(rows, tokens, counted, kernel, bias):
    """Do the same, and return the sum's gradients besides."""

    def step(index, carry):
        total, by_kernel, by_bias = carry
        features = rows[index]
        logits = _score(features, kernel, bias)
        surprise, shares = _compare(logits, tokens[index])
        total += ops.sum(surprise * counted[index])
        true = ops.one_hot(tokens[index, :, 0], logits.shape[-1])
        errors = (shares - true) * counted[index]
        by_bias += ops.sum(errors, axis=0)
        errors = ops.cast(errors, features.dtype)
        product = ops.matmul(ops.transpose(features), errors)
        by_kernel += ops.cast(product, "float32")
        by_features = ops.matmul(
            errors, ops.transpose(ops.cast(kernel, features.dtype))
        )
        return (total, by_kernel, by_bias), (argmax(logits), by_features)

    sums = (
        ops.zeros((), "float32"),
        ops.zeros_like(kernel),
        ops.zeros_like(bias),
    )
    sums, (best, by_rows) = scan_in_turn(ops.shape(rows)[0], step, sums)
    total, by_kernel, by_bias = sums
    return total, (best,), (by_rows, None, None, by_kernel, by_bias)


def _compare(logits, tokens):
    """Return the surprise by true tokens, in nats, and all probabilities."""
    logits -= ops.max(logits, axis=-1, keepdims=True)
    shares = ops.exp(logits)
    sums = ops.sum(shares, axis=-1, keepdims=True)
    true = ops.take_along_axis(logits, tokens, axis=-1)
    return ops.log(sums) - true, shares / sums
