"""All-reduced means of losses, and all-reduced metrics."""

import contextlib

import keras
from keras import ops

from gss_keras.distribution import backend

_is_evaluation_shared = False


def shared_mean(total, count):
    """All-reduce a sum and a count, and return the mean over all replicas.

    The value is the same on all replicas. The gradient is scaled such that
    the mean of the replicas' gradients is the gradient of the value. With
    PyTorch, a loss without gradients stays that of its own process, so that
    one process can evaluate while the others wait; within
    `shared_evaluation`, it is all-reduced as well.

    Args:
        total: Float scalar tensor, the sum of this replica's values.
        count: Float scalar tensor, the number of these values.

    Returns:
        Float scalar tensor, 0 if the count of all replicas is 0.
    """
    _, replicas = backend.replica()
    is_shared = _is_evaluation_shared or backend.has_gradient(total)
    if replicas == 1 or not is_shared:
        return total / ops.maximum(count, 1.0)
    local = ops.stop_gradient(ops.stack([total, count]))
    global_total, count = ops.unstack(backend.all_reduce_sum(local), 2)
    count = ops.maximum(count, 1.0)
    own = total * replicas / count
    return own + ops.stop_gradient(global_total / count - own)


def split_loss(loss):
    """Divide a loss by the number of TensorFlow's replicas, which sum it."""
    _, replicas = backend.replica()
    is_summed = keras.backend.backend() == "tensorflow" and replicas > 1
    return loss / replicas if is_summed else loss


@contextlib.contextmanager
def shared_evaluation(data, metrics):
    """All-reduce losses and metrics of an evaluation on sharded data.

    Inside the context, losses are means over all PyTorch processes. On exit,
    the states of the metrics are summed over the processes. Does nothing if
    every process evaluates all data.

    Args:
        data: The evaluated data; its attribute `shard` tells whether it is
            sharded.
        metrics: List of metrics whose state is a sum, such as `Mean` and
            `SegmentationScores`.

    Yields:
        Whether the data is sharded.
    """
    global _is_evaluation_shared
    index, _ = getattr(data, "shard", None) or (None, 1)
    if index is None or backend.replica()[1] == 1:
        yield False
        return
    _is_evaluation_shared = True
    try:
        yield True
    finally:
        _is_evaluation_shared = False
    for metric in metrics:
        for variable in metric.variables:
            variable.assign(backend.all_reduce_sum(variable.value))
