"""The classifier over the codebook, the widest map of the prior."""

import functools

import keras
from keras import ops

from gss_keras.ops.backend import argmax, scan_in_turn
from gss_keras.ops.chunks import Chunks
from gss_keras.ops.gradients import (
    add_product,
    with_gradients,
    write_rows,
    zeros_to_write,
)
from gss_keras.ops.kernels import project, surprise

# Most logits held at a time: 16 MB.
_HELD = 2**22


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
        weights = _cast((self.kernel, self.bias), features.dtype)
        return _score(features, *weights)

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
        chunks, rows = self._chunks(features)
        kernel, bias = _cast(self._weights(), rows.dtype)

        def step(index, carry):
            logits = _score(chunks.take(rows, index), kernel, bias)
            return carry, tuple(question(logits) for question in questions)

        _, answers = scan_in_turn(chunks.count, step, ())
        return tuple(map(chunks.join, answers))

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
            total = ops.sum(surprise(tokens, logits) * counted)
            return total, argmax(logits)
        chunks, rows = self._chunks(features)
        inputs = (
            rows,
            ops.reshape(ops.cast(tokens, "int32"), (-1, 1)),
            ops.reshape(counted, (-1, 1)),
            *self._weights(),
        )
        if training:
            measure = functools.partial(_surprise_and_gradients, chunks)
            total, (best,) = with_gradients(measure, *inputs)
        else:
            total, best = _surprise(chunks, *inputs)
        return total, chunks.join(best)

    def _weights(self):
        weights = self.kernel, self.bias
        return tuple(ops.convert_to_tensor(weight) for weight in weights)

    def _chunks(self, features):
        """Return `Chunks` with few enough logits to hold, and all rows."""
        chunks = Chunks(features, max(1, _HELD // self.codebook_size))
        return chunks, ops.reshape(features, (-1, features.shape[-1]))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.codebook_size)

    def get_config(self):
        return {**super().get_config(), "codebook_size": self.codebook_size}


def _cast(tensors, dtype):
    return tuple(ops.cast(tensor, dtype) for tensor in tensors)


def _score(features, kernel, bias):
    """Return float32 token logits, computed in the type of the features."""
    return ops.cast(project(features, kernel, bias), "float32")


def _highest_share(logits):
    """Return the probability of the likeliest entry."""
    highest = ops.max(logits, axis=-1, keepdims=True)
    return 1 / ops.sum(ops.exp(logits - highest), axis=-1)


def _surprise(chunks, rows, tokens, counted, kernel, bias):
    """Sum the surprise over all chunks, and take the best tokens."""
    kernel, bias = _cast((kernel, bias), rows.dtype)

    def step(index, carry):
        take = functools.partial(chunks.take, index=index)
        logits = _score(take(rows), kernel, bias)
        best = argmax(logits)
        losses, _, _ = _compare(logits, take(tokens))
        losses = chunks.without_seen(losses * take(counted), index)
        return (carry[0] + ops.sum(losses),), (best,)

    (total,), (best,) = scan_in_turn(
        chunks.count, step, (ops.zeros((), "float32"),)
    )
    return total, best


def _surprise_and_gradients(chunks, rows, tokens, counted, kernel, bias):
    """Do the same, and return the sum's gradients besides."""
    cast_kernel, cast_bias = _cast((kernel, bias), rows.dtype)
    entries = ops.arange(kernel.shape[1], dtype="int32")

    def step(index, carry):
        total, by_rows, by_kernel, by_bias = carry
        take = functools.partial(chunks.take, index=index)
        features, true, weight = take(rows), take(tokens), take(counted)
        logits = _score(features, cast_kernel, cast_bias)
        best = argmax(logits)
        losses, errors, sums = _compare(logits, true)
        del logits  # so that PyTorch gives it up
        total += ops.sum(chunks.without_seen(losses * weight, index))
        errors *= weight / sums
        errors -= ops.where(entries == true, weight, 0.0)
        by_bias += ops.sum(chunks.without_seen(errors, index), axis=0)
        errors = ops.cast(errors, rows.dtype)
        # In this order, TensorFlow does not turn the kernel.
        by_features = ops.matmul(cast_kernel, ops.transpose(errors))
        by_features = ops.transpose(by_features)
        by_rows = write_rows(by_rows, chunks.start(index), by_features)
        features = chunks.without_seen(features, index)
        by_kernel = add_product(by_kernel, features, errors)
        return (total, by_rows, by_kernel, by_bias), (best,)

    sums = ops.zeros((), "float32"), *map(zeros_to_write, (rows, kernel, bias))
    sums, (best,) = scan_in_turn(chunks.count, step, sums)
    total, by_rows, by_kernel, by_bias = sums
    return total, (best,), (by_rows, None, None, by_kernel, by_bias)


def _compare(logits, tokens):
    """Compare logits, which may be overwritten, with the true tokens.

    Returns:
        The surprise by the true tokens, in nats, and all probabilities as
        what they are proportional to and its sum.
    """
    true = ops.take_along_axis(logits, tokens, axis=-1)
    highest = ops.max(logits, axis=-1, keepdims=True)
    logits -= highest
    shares = ops.exp(logits)
    sums = ops.sum(shares, axis=-1, keepdims=True)
    return ops.log(sums) + (highest - true), shares, sums
