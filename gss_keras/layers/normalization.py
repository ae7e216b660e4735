"""Batch normalization in float32, folded into convolutions."""

import keras
from keras import ops

from gss_keras.distribution.backend import replica
from gss_keras.ops.kernels import batch_norm


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
            found = batch_norm(
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
        _, replicas = replica()
        is_shared = replicas > 1 or self.synchronized
        is_plain = self.scale and self.center and not self.renorm
        return is_plain and self.axis in (-1, 3) and not is_shared

    def _follow(self, moving, latest):
        moving.assign(moving * self.momentum + latest * (1.0 - self.momentum))

    def fold(self, kernel):
        """Fold the batch norm of inference into the kernel before it.

        Args:
            kernel: Float tensor `(..., channels)`, of a layer without bias.

        Returns:
            The scaled kernel, of the same dtype but multiplied in float32 at
            least, and a bias, float tensor `(channels,)`.
        """
        # Operators have the least overhead in eager execution.
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
    """Apply a convolution and a batch norm, which is folded if it can be.

    Outside training, a batch norm is a fixed scale and shift of each channel.
    Kernels are small compared with feature maps, so they are scaled instead,
    at every call, and nothing can be out of date.

    Args:
        convolve: Function of a kernel and of a bias, float tensor
            `(channels,)` or None.
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
