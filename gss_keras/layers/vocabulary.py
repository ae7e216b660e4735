"""Classifier over the codebook: logits, argmax and cross-entropy, in chunks."""

import functools

import keras
from keras import ops

from gss_keras.ops.backend import argmax, sequential_scan
from gss_keras.ops.chunks import Chunks
from gss_keras.ops.gradients import (
    add_product,
    with_gradients,
    write_rows,
    zeros_to_write,
)
from gss_keras.ops.kernels import cross_entropy, project

# Largest number of logits in memory at a time: 16 MB.
_MAX_LOGITS = 2**22


@keras.saving.register_keras_serializable(package="gss_keras")
class Vocabulary(keras.layers.Layer):
    """Classify every position over the codebook: a 1x1 convolution.

    Its methods return what is needed of the token logits, the argmax or the
    cross-entropy, so that a large vocabulary is never in memory as a whole.

    Args:
        codebook_size: Number of tokens.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        features: Float tensor of shape `(batch, h, w, channels)`.

    Returns:
        Float32 token logits of shape `(batch, h, w, codebook_size)`.

    Reference:
        The kernel is initialized from N(0, 0.01) and the bias with zeros, as
        in the official release.
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
        """Whether the logits would be by far the largest activation."""
        return self.codebook_size > 2 * self.kernel.shape[0]

    def call(self, features):
        weights = _cast((self.kernel, self.bias), features.dtype)
        return _score(features, *weights)

    def best_tokens(self, features):
        """Return the most probable tokens, int32 `(batch, h, w)`."""
        return self._reduce(features, argmax)[0]

    def best_tokens_and_probabilities(self, features):
        """Return the most probable tokens and their softmax probabilities.

        Args:
            features: Float tensor of shape `(batch, h, w, channels)`.

        Returns:
            Int32 tokens and float32 probabilities, both `(batch, h, w)`.
        """
        return self._reduce(features, argmax, _highest_probability)

    def _reduce(self, features, *functions):
        """Apply functions that reduce the vocabulary axis of the logits."""
        if not self.is_wide:
            logits = self(features)
            return tuple(function(logits) for function in functions)
        chunks, rows = self._chunks(features)
        kernel, bias = _cast(self._weights(), rows.dtype)

        def step(index, carry):
            logits = _score(chunks.take(rows, index), kernel, bias)
            return carry, tuple(function(logits) for function in functions)

        _, results = sequential_scan(chunks.count, step, ())
        return tuple(map(chunks.join, results))

    def cross_entropy(self, features, tokens, counted, training=True):
        """Compute the weighted sum of the cross-entropies of all positions.

        If the codebook is more than twice as large as the number of channels,
        the logits are computed in chunks of positions, each with its
        gradients before the next one, to bound peak memory.

        Args:
            features: Float tensor of shape `(batch, h, w, channels)`.
            tokens: Int tensor of shape `(batch, h, w)`, values in
                `[0, codebook_size)`.
            counted: Float32 tensor of shape `(batch, h, w)`, the weight of
                each position.
            training: Whether gradients are needed.

        Returns:
            Float32 scalar, the weighted sum over all positions, in nats, and
            the most probable tokens, an int32 tensor of shape `(batch, h,
            w)`.
        """
        if not self.is_wide:
            logits = self(features)
            total = ops.sum(cross_entropy(tokens, logits) * counted)
            return total, argmax(logits)
        chunks, rows = self._chunks(features)
        inputs = (
            rows,
            ops.reshape(ops.cast(tokens, "int32"), (-1, 1)),
            ops.reshape(counted, (-1, 1)),
            *self._weights(),
        )
        if training:
            measure = functools.partial(_sum_losses_and_gradients, chunks)
            total, (best,) = with_gradients(measure, *inputs)
        else:
            total, best = _sum_losses(chunks, *inputs)
        return total, chunks.join(best)

    def _weights(self):
        weights = self.kernel, self.bias
        return tuple(ops.convert_to_tensor(weight) for weight in weights)

    def _chunks(self, features):
        """Return `Chunks` of positions, and the features as rows."""
        chunks = Chunks(features, max(1, _MAX_LOGITS // self.codebook_size))
        return chunks, ops.reshape(features, (-1, features.shape[-1]))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.codebook_size)

    def get_config(self):
        return {**super().get_config(), "codebook_size": self.codebook_size}


def _cast(tensors, dtype):
    return tuple(ops.cast(tensor, dtype) for tensor in tensors)


def _score(features, kernel, bias):
    """Return float32 token logits, computed in the dtype of the features."""
    return ops.cast(project(features, kernel, bias), "float32")


def _highest_probability(logits):
    """Return the largest softmax probability."""
    highest = ops.max(logits, axis=-1, keepdims=True)
    return 1 / ops.sum(ops.exp(logits - highest), axis=-1)


def _sum_losses(chunks, rows, tokens, counted, kernel, bias):
    """Return the sum of the losses over all chunks, and the best tokens."""
    kernel, bias = _cast((kernel, bias), rows.dtype)

    def step(index, carry):
        take = functools.partial(chunks.take, index=index)
        logits = _score(take(rows), kernel, bias)
        best = argmax(logits)
        losses, _, _ = _softmax_losses(logits, take(tokens))
        losses = chunks.mask_repeated(losses * take(counted), index)
        return (carry[0] + ops.sum(losses),), (best,)

    (total,), (best,) = sequential_scan(
        chunks.count, step, (ops.zeros((), "float32"),)
    )
    return total, best


def _sum_losses_and_gradients(chunks, rows, tokens, counted, kernel, bias):
    """Do the same, and return the gradients of the sum, too."""
    cast_kernel, cast_bias = _cast((kernel, bias), rows.dtype)
    entries = ops.arange(kernel.shape[1], dtype="int32")

    def step(index, carry):
        total, by_rows, by_kernel, by_bias = carry
        take = functools.partial(chunks.take, index=index)
        features, true, weight = take(rows), take(tokens), take(counted)
        logits = _score(features, cast_kernel, cast_bias)
        best = argmax(logits)
        losses, errors, sums = _softmax_losses(logits, true)
        del logits  # free its memory on PyTorch
        total += ops.sum(chunks.mask_repeated(losses * weight, index))
        errors *= weight / sums
        errors -= ops.where(entries == true, weight, 0.0)
        by_bias += ops.sum(chunks.mask_repeated(errors, index), axis=0)
        errors = ops.cast(errors, rows.dtype)
        # In this order, TensorFlow does not transpose the kernel.
        by_features = ops.matmul(cast_kernel, ops.transpose(errors))
        by_features = ops.transpose(by_features)
        by_rows = write_rows(by_rows, chunks.start(index), by_features)
        features = chunks.mask_repeated(features, index)
        by_kernel = add_product(by_kernel, features, errors)
        return (total, by_rows, by_kernel, by_bias), (best,)

    sums = ops.zeros((), "float32"), *map(zeros_to_write, (rows, kernel, bias))
    sums, (best,) = sequential_scan(chunks.count, step, sums)
    total, by_rows, by_kernel, by_bias = sums
    return total, (best,), (by_rows, None, None, by_kernel, by_bias)


def _softmax_losses(logits, tokens):
    """Compute the cross-entropy per position, and the softmax.

    The gradients are updated in place, so this is the manual counterpart of
    `ops.kernels.cross_entropy`. The logits may be overwritten.

    Returns:
        The losses in nats, and the softmax as unnormalized exponentials and
        their sums.
    """
    true = ops.take_along_axis(logits, tokens, axis=-1)
    highest = ops.max(logits, axis=-1, keepdims=True)
    logits -= highest
    exponentials = ops.exp(logits)
    sums = ops.sum(exponentials, axis=-1, keepdims=True)
    return ops.log(sums) + (highest - true), exponentials, sums
