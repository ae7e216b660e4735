"""Gradients that a function works out by itself, where they lie.

Backends are asked by name here as in `backend.py`: each has its own way to
take gradients from elsewhere, and to write into a tensor.
"""

import functools

import keras
from keras import ops


def with_gradients(function, *inputs):
    """Call a function that works out its own gradients.

    Args:
        function: Function of `inputs`. Returns a scalar, a tuple of further
            results, which have no gradients, and a tuple of the scalar's
            gradients with respect to the inputs, None for inputs without.
        *inputs: Tensors.

    Returns:
        The scalar, whose gradients are these, and the further results.
    """
    backend = keras.backend.backend()
    if backend == "torch":
        scalar, *others = _torch_with_gradients().apply(function, *inputs)
        return scalar, tuple(others)

    def scaled(scale, gradients):
        return tuple(
            None if g is None else ops.cast(scale, g.dtype) * g
            for g in gradients
        )

    if backend == "jax":
        import jax

        call = jax.custom_vjp(lambda *inputs: function(*inputs)[:2])

        def forward(*inputs):
            scalar, others, gradients = function(*inputs)
            return (scalar, others), gradients

        call.defvjp(forward, lambda g, results: scaled(results[0], g))
        return call(*inputs)
    import tensorflow as tf

    @tf.custom_gradient
    def call(*inputs):
        scalar, others, gradients = function(*inputs)
        return (scalar, *others), lambda scale, *_: scaled(scale, gradients)

    # Variables are read here: a function may not use them unannounced.
    scalar, *others = call(*map(tf.convert_to_tensor, inputs))
    return scalar, tuple(others)


@functools.cache
def _torch_with_gradients():
    """Define it where there is PyTorch."""
    import torch

    class WithGradients(torch.autograd.Function):
        @staticmethod
        def forward(context, function, *inputs):
            scalar, others, gradients = function(*inputs)
            context.gradients = gradients
            context.mark_non_differentiable(*others)
            return scalar, *others

        @staticmethod
        def backward(context, scale, *others):  # noqa: ARG004
            if context.gradients is None:
                raise RuntimeError(
                    "Gradients can be asked for once: they were written over. "
                    "Compute the loss again."
                )
            # Scaled where they lie: a copy would be as large.
            gradients, context.gradients = context.gradients, None
            return None, *(g if g is None else g.mul_(scale) for g in gradients)

    return WithGradients


def zeros_to_write(tensor):
    """Return zeros of a tensor's shape and dtype that `write_rows` may keep.

    TensorFlow would else make them a constant, which lasts, and copy it.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.ensure_shape(
            tf.raw_ops.Empty(
                shape=tf.shape(tensor), dtype=tensor.dtype, init=True
            ),
            tensor.shape,
        )
    return ops.zeros_like(tensor)


def write_rows(whole, start, rows):
    """Write rows into a tensor, where it lies if nothing else reads it.

    On PyTorch it always does; no gradients are to be asked for.

    Args:
        whole: Tensor of shape `(count, channels)`.
        start: Its first row to write; integer or scalar integer tensor.
        rows: Tensor of shape `(size, channels)`, same dtype.

    Returns:
        The written tensor, of the shape of `whole`.
    """
    if keras.backend.backend() == "jax":
        import jax

        return jax.lax.dynamic_update_slice_in_dim(whole, rows, start, 0)
    end = start + ops.shape(rows)[0]
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.raw_ops.TensorStridedSliceUpdate(
            input=whole, begin=[start], end=[end], strides=[1], value=rows
        )
    whole[start:end] = rows
    return whole


def add_product(total, left, right):
    """Add the product of a turned matrix and another one, likewise in place.

    Args:
        total: Float tensor of shape `(rows, columns)`.
        left: Float tensor of shape `(terms, rows)`.
        right: Tensor of shape `(terms, columns)`, of the same dtype.

    Returns:
        The new total, of the shape and dtype of `total`.
    """
    if keras.backend.backend() == "torch" and left.dtype == total.dtype:
        import torch

        return torch.addmm(total, left.mT, right, out=total)
    product = ops.matmul(ops.transpose(left), right)
    return total + ops.cast(product, total.dtype)
