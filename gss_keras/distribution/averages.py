"""Average over all devices what each of them counts."""

import contextlib

import keras
from keras import ops

from gss_keras.distribution import backend

_is_evaluation_shared = False


def shared_mean(total, count):
    """Average over all devices, weighing each by what it counts.

    Its value is the same on all of them. Its gradient is such that the mean
    of all devices' gradients is that of the value. With PyTorch, a loss that
    no weight learns from stays that of its own process, so that one process
    can evaluate while the others wait; see `shared_evaluation` for all.

    Args:
        total: Float scalar tensor, the sum of this device's values.
        count: Float scalar tensor, how many they are.

    Returns:
        Float scalar tensor, 0 where nothing counts.
    """
    _, parts = backend.part()
    is_shared = _is_evaluation_shared or backend.is_learning(total)
    if parts == 1 or not is_shared:
        return total / ops.maximum(count, 1.0)
    both = ops.stop_gradient(ops.stack([total, count]))
    everything, count = ops.unstack(backend.sum_over_parts(both), 2)
    count = ops.maximum(count, 1.0)
    own = total * parts / count
    return own + ops.stop_gradient(everything / count - own)


def split_loss(loss):
    """Scale a loss that TensorFlow's replicas add up, to their average."""
    _, parts = backend.part()
    is_split = keras.backend.backend() == "tensorflow" and parts > 1
    return loss / parts if is_split else loss


@contextlib.contextmanager
def shared_evaluation(data, metrics):
    """Pool what PyTorch's processes count, each in its share of the data.

    Within, losses are those of all processes. At the end, the metrics' states
    are added up. Where each process goes through all data, nothing happens.

    Args:
        data: What is evaluated; a share is known by its `shard`.
        metrics: List of metrics whose state is a sum, as that of `Mean` and
            `SegmentationScores`.

    Yields:
        Whether the data is a share.
    """
    global _is_evaluation_shared
    index, _ = getattr(data, "shard", None) or (None, 1)
    if index is None or backend.part()[1] == 1:
        yield False
        return
    _is_evaluation_shared = True
    try:
        yield True
    finally:
        _is_evaluation_shared = False
    for metric in metrics:
        for variable in metric.variables:
            variable.assign(backend.sum_over_parts(variable.value))
