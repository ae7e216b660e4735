"""All-reduce gradients over PyTorch processes."""

import math

from keras import ops

from gss_keras.distribution import backend
from gss_keras.ops.private import replace_apply

# Gradients are all-reduced in buckets of this many elements, 64 MiB in
# float32: large enough to use the bandwidth, small compared to all gradients.
_BUCKET = 2**24


def average_gradients(optimizer):
    """Make an optimizer apply the mean gradient of all PyTorch processes.

    The optimizer is changed in place, and only in its input: clipping,
    accumulation, weight decay and moving averages see the mean gradient, and
    saving and loading are unaffected. Pass the outermost one, such as a
    `LossScaleOptimizer`, since all processes have to take part.

    Args:
        optimizer: A `keras.optimizers.Optimizer`.

    Returns:
        The optimizer.
    """
    if backend.replica()[1] > 1:
        replace_apply(optimizer, _mean_over_replicas)
    return optimizer


def _mean_over_replicas(grads):
    """All-reduce gradients over the PyTorch processes, in large buckets."""
    _, replicas = backend.replica()
    means = list(grads)
    for bucket in _buckets(grads):
        flat = [ops.reshape(grads[i], (-1,)) for i in bucket]
        mean = backend.all_reduce_sum(ops.concatenate(flat)) / replicas
        start = 0
        for i in bucket:
            end = start + math.prod(grads[i].shape)
            means[i] = ops.reshape(mean[start:end], grads[i].shape)
            start = end
    return means


def _buckets(grads):
    """Group the indices of gradients of one dtype, up to a size."""
    buckets, size, dtype = [], 0, None
    for index, grad in enumerate(grads):
        if grad is None:
            continue
        elements = math.prod(grad.shape)
        if grad.dtype != dtype or size + elements > _BUCKET:
            buckets.append([])
            size, dtype = 0, grad.dtype
        buckets[-1].append(index)
        size += elements
    return buckets
