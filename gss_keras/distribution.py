"""Train one model on several devices, with the engine that a backend has.

JAX and TensorFlow run one process that splits every batch over the devices;
with PyTorch, `torchrun` starts a process for each and every process reads its
own share of the batch. A training script looks the same for all:

    distribution.data_parallel()              # before a model is built
    batches = data.batches(..., shard=distribution.shard())
    prior.fit(batches, shuffle=False)
    if distribution.is_chief():
        prior.save_to_preset(folder)

The losses and gradients are those of the whole batch, exactly: averages are
over what all devices count together, and so are the statistics of batch norm.
"""

import contextlib
import functools
import math

import keras
import numpy as np
from keras import ops

from gss_keras.layers import backend

# Gradients are averaged in pieces of so many numbers, 64 MiB in float32:
# large enough to keep a connection busy, small beside the gradients.
_PIECE = 2**24

_is_evaluation_shared = False


def data_parallel(num_devices=None):
    """Split every batch over devices, each of which holds the whole model.

    Call it once, before any model is built. With PyTorch, start the script by
    `torchrun --nproc-per-node N`. Where there is one device, nothing changes.

    Args:
        num_devices: Number of devices; by default all GPUs, or all CPUs that
            the backend shows where there are none.

    Returns:
        Number of devices that every batch is split over.

    Raises:
        ValueError: If there are not so many devices, or another number is in
            use already.

    Example:
        >>> data_parallel(1)
        1
    """
    if keras.backend.backend() == "torch":
        return _check_count(backend.join_processes(), num_devices)
    if keras.backend.backend() == "tensorflow":
        names, is_started = backend.replica_devices()
        if is_started:
            return _check_count(len(names), num_devices)
        names = _choose(names, num_devices)
        if len(names) > 1:
            backend.start_replicas(names)
        return len(names)
    if keras.distribution.distribution():
        return _check_count(_batch_devices(), num_devices)
    names = _choose(keras.distribution.list_devices(), num_devices)
    if len(names) > 1:
        engine = keras.distribution.DataParallel(devices=names)
        keras.distribution.set_distribution(engine)
    return len(names)


def model_parallel(model_devices, num_devices=None):
    """Spread each copy of the model over several devices, with JAX.

    For models that do not fit one device. The large kernels of a prior are
    cut, and the optimizer's moments of them: attention and perceptrons of all
    Swin blocks, the projection and the vocabulary. What does not divide is
    copied like all the rest.

    Args:
        model_devices: Number of devices that share one copy of the model.
        num_devices: Number of devices in all, a multiple of it; by default
            all. Every batch is split over the copies.

    Returns:
        Number of copies of the model, which every batch is split over.

    Raises:
        ValueError: If the backend is not JAX, or there are not so many
            devices.
    """
    if keras.backend.backend() != "jax":
        raise ValueError(
            "`model_parallel` needs the backend JAX, `KERAS_BACKEND=jax`. Use "
            "`data_parallel` with the others. "
            f"Received: backend={keras.backend.backend()}"
        )
    names = _choose(keras.distribution.list_devices(), num_devices)
    if model_devices < 1 or len(names) % model_devices:
        raise ValueError(
            "`model_devices` must divide the number of devices. Received: "
            f"model_devices={model_devices} of {len(names)}"
        )
    mesh = keras.distribution.DeviceMesh(
        (len(names) // model_devices, model_devices), ("batch", "model"), names
    )
    engine = _cut_kernels(mesh)
    keras.distribution.set_distribution(engine)
    return mesh.shape[0]


def is_chief():
    """Return whether this process is the one that writes files and reports.

    Of PyTorch's processes that is the first; all others have but one.
    """
    return bool(backend.part()[0] == 0)


def shard():
    """Return which share of every batch this process reads.

    Returns:
        What `data.batches` takes as `shard`: None for whole batches,
        `(index, count)` in one of PyTorch's processes, `(None, count)` where
        batches must be multiples of JAX's devices.
    """
    index, count = backend.part()
    if keras.backend.backend() == "torch" and count > 1:
        return index, count
    count = _batch_devices()
    return (None, count) if count > 1 else None


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


def start_together(model):
    """Let the devices begin the training of a model alike.

    `fit` of the three stages calls it. Batch norms take their statistics from
    the batches of all devices together, as the official release does, and as
    JAX does by itself. With PyTorch, all processes take over the first one's
    weights and optimizer, but draw other random numbers for dropout, and
    average their gradients.

    Args:
        model: A compiled model with a built optimizer.
    """
    strategy = getattr(model, "distribute_strategy", None)
    replicas = strategy.num_replicas_in_sync if strategy else 1
    index, parts = backend.part()
    if max(replicas, parts) == 1:
        return
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer._moments = functools.partial(_shared_moments, layer)
    if parts == 1 or keras.backend.backend() != "torch":
        return
    skipped = {id(variable) for variable in model.metrics_variables}
    variables = [v for v in model.variables if id(v) not in skipped]
    if model.optimizer:
        variables += model.optimizer.variables
        average_gradients(model.optimizer)
    backend.copy_from_first_part(variables)
    for variable in variables:
        if variable.path.endswith("seed_generator_state"):
            _draw_apart(variable, index)


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


def wait_for_all():
    """Wait until all processes are here, for instance for files of the first.

    Only PyTorch has more than one.
    """
    ops.convert_to_numpy(backend.sum_over_parts(ops.zeros(1)))


def fill_up(x, y=None, batch_size=None):
    """Make arrays divide by JAX's devices; anything else is left alone.

    Args:
        x: Photos `(n, height, width, 3)` or masks `(n, height, width)`, or no
            array.
        y: Masks or None.
        batch_size: Number of photos in a batch, or None.

    Returns:
        `x` and `y`, followed by some of their photos with all pixels ignored,
        and the next batch size that divides.
    """
    count = _batch_devices()
    if count == 1 or not isinstance(x, np.ndarray):
        return x, y, batch_size
    extra = np.arange(-len(x) % count) % len(x)
    if y is not None:
        y = np.concatenate([y, np.full_like(y[extra], 255)])
    filling = x[extra] if x.ndim == 4 else np.full_like(x[extra], 255)
    batch_size = math.ceil((batch_size or 32) / count) * count
    return np.concatenate([x, filling]), y, batch_size


def _choose(names, num_devices):
    if num_devices is not None and not 1 <= num_devices <= len(names):
        raise ValueError(
            "`num_devices` must be at least 1 and at most the number of "
            f"devices that {keras.backend.backend()} shows, {len(names)}. "
            f"Received: num_devices={num_devices}"
        )
    return names[:num_devices]


def _check_count(count, num_devices):
    if num_devices not in (None, count):
        raise ValueError(
            f"`num_devices` must be {count}, which is in use, or None. With "
            "PyTorch start the script by `torchrun --nproc-per-node "
            f"{num_devices}`. Received: num_devices={num_devices}"
        )
    return count


def _batch_devices():
    """Return the number of JAX's devices that a batch is split over."""
    if keras.backend.backend() != "jax":
        return 1
    engine = keras.distribution.distribution()
    return engine.num_model_replicas if engine else 1


def _cut_kernels(mesh):
    """Say which axis of which kernels is cut, by the variables' paths."""
    layouts = keras.distribution.LayoutMap(mesh)
    # What is cut sideways by the first of a pair is added up by the second,
    # so that nothing has to be sent in between.
    sideways, lengthwise = (None, "model"), ("model", None)
    layouts[r"(.*/)?(query_key_value|expand)/kernel"] = sideways
    layouts[r"(.*/)?(attention/projection|reduce)/kernel"] = lengthwise
    layouts[r"(.*/)?projection/convolution/kernel"] = sideways
    layouts[r"(.*/)?vocabulary/kernel"] = sideways

    class CutKernels(keras.distribution.ModelParallel):
        def get_variable_layout(self, variable):
            layout = super().get_variable_layout(variable)
            sizes = zip(layout.axes, variable.shape, strict=True)
            if all(size % mesh.shape[1] == 0 for axis, size in sizes if axis):
                return layout
            whole = (None,) * len(variable.shape)
            return keras.distribution.TensorLayout(whole, mesh)

    return CutKernels(layout_map=layouts, batch_dim_name="batch")


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


def _shared_moments(layer, inputs, mask):
    """Take a batch norm's mean and variance over the parts of a batch."""
    _, parts = backend.part()
    if parts == 1 or mask is not None:
        return type(layer)._moments(layer, inputs, mask)
    axes = layer._reduction_axes
    count = ops.sum(ops.ones_like(inputs), axis=axes)
    sums = [ops.sum(inputs, axis=axes), ops.sum(inputs**2, axis=axes), count]
    sums = backend.sum_over_parts(ops.stack(sums))
    mean, mean_of_squares, _ = ops.unstack(sums / ops.maximum(sums[2], 1.0), 3)
    return mean, ops.maximum(mean_of_squares - mean**2, 0.0)


def _draw_apart(state, index):
    """Move a process's random state far away from those of the others."""
    seed, counter = ops.convert_to_numpy(state.value).astype("uint64")
    seed = (seed + index * 0x9E3779B1) % 2**32
    state.assign(np.asarray([seed, counter], "uint32"))
