"""Batch normalization in float32, within a convolution where it can be."""

import keras
from keras import ops

from gss_keras.distribution.backend import part
from gss_keras.ops.kernels import normalize_batch


@keras.saving.register_keras_serializable(package="gss_keras")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' `BatchNormalization`, with float32 weights in any precision.

    Keras computes it in float32 but keeps the weights in the layer's own
    type. In "float16" a variance below 6e-8 would be zero; in "bfloat16" a
    moving average stops moving once its steps are below 1/256 of it.

    Example:
        >>> layer = BatchNormalization(dtype="bfloat16")
        >>> outputs = layer(keras.ops.ones((1, 4)))
        >>> keras.backend.standardize_dtype(outputs.dtype)
        'bfloat16'
        >>> {weight.dtype for weight in layer.weights}
        {'float32'}
    """

    @property
    def variable_dtype(self):
        return "float32"

    def call(self, inputs, training=None, mask=None):
        is_learning = training and self.trainable and mask is None
        if is_learning and self._is_usual and len(inputs.shape) == 4:
            found = normalize_batch(
                ops.cast(inputs, "float32"),
                self.gamma.value, self.beta.value, self.epsilon,
            )  # fmt: skip
            if found is not None:
                outputs, mean, variance = found
                self._follow(self.moving_mean, mean)
                self._follow(self.moving_variance, variance)
                return ops.cast(outputs, self.compute_dtype)
        return super().call(inputs, training=training, mask=mask)

    @property
    def _is_usual(self):
        """Whether one kernel does what is asked for."""
        _, parts = part()
        is_shared = parts > 1 or self.synchronized
        is_plain = self.scale and self.center and not self.renorm
        return is_plain and self.axis in (-1, 3) and not is_shared

    def _follow(self, moving, latest):
        moving.assign(moving * self.momentum + latest * (1.0 - self.momentum))

    def fold(self, kernel):
        """Let a kernel do what this does to each channel outside training.

        Args:
            kernel: Float tensor `(..., channels)`, of a layer without bias.

        Returns:
            The kernel, multiplied in float32 at least, same dtype, and the
            float tensor `(channels,)` to add to the layer's result.
        """
        # Operators, which cost the least where nothing is compiled.
        scale = (self.moving_variance + self.epsilon) ** -0.5
        if self.scale:
            scale = scale * self.gamma
        shift = -scale * self.moving_mean
        if self.center:
            shift = shift + self.beta
        dtype = keras.backend.standardize_dtype(kernel.dtype)
        if dtype in ("float16", "bfloat16"):
            kernel = ops.cast(kernel, "float32")
            return ops.cast(kernel * scale, dtype), shift
        return kernel * scale, shift


def normalize_within(convolve, kernel, norm, training):
    """Apply a batch norm to a convolution's result, at no cost if it can be.

    Unless it learns, a batch norm multiplies each channel and adds to it,
    always the same. Kernels are small beside maps: they are multiplied
    instead, at every call, so that nothing can be out of date.

    Args:
        convolve: Function of a kernel and of a float tensor `(channels,)` to
            add, or None.
        kernel: Float tensor or variable `(..., channels)`.
        norm: A `BatchNormalization` of the last axis.
        training: Whether `norm` uses and updates batch statistics, provided
            that it is trainable.

    Returns:
        `norm(convolve(kernel, None), training=training)`, but for rounding.
    """
    if training and norm.trainable:
        return norm(convolve(kernel, None), training=training)
    return convolve(*norm.fold(kernel))
