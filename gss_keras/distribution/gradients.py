"""Average gradients over PyTorch's processes."""

import math

from keras import ops

from gss_keras.distribution import backend

# Gradients are averaged in pieces of so many numbers, 64 MiB in float32:
# large enough to keep a connection busy, small beside the gradients.
_PIECE = 2**24


def average_gradients(optimizer):
    """Let PyTorch's processes update weights with their mean gradient.

    The optimizer is changed in place, in what it is given and nothing else:
    clipping, accumulation, weight decay and averages see the mean gradient,
    and it is saved and loaded as it always was. Wrap the outermost one, such
    as a `LossScaleOptimizer`, since all processes have to take part.

    Args:
        optimizer: A `keras.optimizers.Optimizer`.

    Returns:
        The optimizer.
    """
    if backend.part()[1] > 1 and "apply" not in vars(optimizer):
        apply = optimizer.apply

        def apply_mean(grads, trainable_variables=None):
            return apply(_mean_over_parts(grads), trainable_variables)

        optimizer.apply = apply_mean
    return optimizer


def _mean_over_parts(grads):
    """Average gradients over PyTorch's processes, many in one go."""
    _, parts = backend.part()
    means = list(grads)
    for piece in _pieces(grads):
        flat = [ops.reshape(grads[i], (-1,)) for i in piece]
        mean = backend.sum_over_parts(ops.concatenate(flat)) / parts
        start = 0
        for i in piece:
            end = start + math.prod(grads[i].shape)
            means[i] = ops.reshape(mean[start:end], grads[i].shape)
            start = end
    return means


def _pieces(grads):
    """Group the indices of gradients of one type, up to a size."""
    pieces, size, dtype = [], 0, None
    for index, grad in enumerate(grads):
        if grad is None:
            continue
        numbers = math.prod(grad.shape)
        if grad.dtype != dtype or size + numbers > _PIECE:
            pieces.append([])
            size, dtype = 0, grad.dtype
        pieces[-1].append(index)
        size += numbers
    return pieces
