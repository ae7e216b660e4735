"""Custom gradients and in-place updates, by each backend's own API."""

import functools

import keras
from keras import ops


def with_gradients(function, *inputs):
    """Call a function with custom gradients, which it returns itself.

    Args:
        function: Function of `inputs`. Returns a scalar, a tuple of further
            results without gradients, and a tuple of the scalar's gradients
            with respect to the inputs, None for inputs without.
        *inputs: Tensors.

    Returns:
        The scalar, differentiable with these gradients, and the further
        results.
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

    # Read variables here: `tf.custom_gradient` forbids them inside.
    scalar, *others = call(*map(tf.convert_to_tensor, inputs))
    return scalar, tuple(others)


@functools.cache
def _torch_with_gradients():
    """Define the autograd function; needs PyTorch."""
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
                    "Gradients can be computed only once, since they are "
                    "scaled in place. Compute the loss again."
                )
            # In place: a copy would be as large as the gradients.
            gradients, context.gradients = context.gradients, None
            return None, *(g if g is None else g.mul_(scale) for g in gradients)

    return WithGradients


def zeros_to_write(tensor):
    """Return zeros of a tensor's shape and dtype, to be updated in place.

    TensorFlow would turn `zeros_like` into a constant and copy it.
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
    """Update rows of a tensor, in place if nothing else reads it.

    On PyTorch always in place. Not differentiable.

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
    """Compute `total + transpose(left) @ right`, in place if possible.

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
