"""Choose the devices that a model is trained on."""

import keras
from keras import ops

from gss_keras.distribution import backend


def data_parallel(num_devices=None):
    """Enable data parallelism: every batch is split over the devices.

    Each device holds a copy of the model. Call this once, before any model is
    built. With PyTorch, start the script with `torchrun --nproc-per-node N`.
    With one device, nothing changes.

    Args:
        num_devices: Number of devices; defaults to all GPUs that the backend
            shows, or all its CPU devices if there are none.

    Returns:
        Number of devices that every batch is split over.

    Raises:
        ValueError: If there are fewer devices, or another number is in use
            already.

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
        return _check_count(batch_devices(), num_devices)
    names = _choose(keras.distribution.list_devices(), num_devices)
    if len(names) > 1:
        strategy = keras.distribution.DataParallel(devices=names)
        keras.distribution.set_distribution(strategy)
    return len(names)


def model_parallel(model_devices, num_devices=None):
    """Enable tensor parallelism on JAX: shard each model over several devices.

    For models that do not fit on one device. Sharded are the large kernels of
    a prior and the optimizer's moments of them: attention and MLPs of all
    Swin blocks, the projection and the vocabulary. All other variables, and
    kernels that the number of devices does not divide, are replicated.

    Args:
        model_devices: Number of devices that share one copy of the model.
        num_devices: Total number of devices, a multiple of `model_devices`;
            defaults to all. Every batch is split over the copies.

    Returns:
        Number of copies of the model, which every batch is split over.

    Raises:
        ValueError: If the backend is not JAX, or there are fewer devices.
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
    keras.distribution.set_distribution(_shard_kernels(mesh))
    return mesh.shape[0]


def is_chief():
    """Return whether this is the process that writes files and logs.

    That is the first of PyTorch's processes. On JAX and TensorFlow it is the
    only process.
    """
    return bool(backend.replica()[0] == 0)


def shard():
    """Return the shard of every batch that this process reads.

    Returns:
        The argument `shard` of `data.batches`: None for whole batches,
        `(index, count)` in one of several PyTorch processes, `(None, count)`
        if batch sizes must be multiples of the number of JAX devices.
    """
    index, count = backend.replica()
    if keras.backend.backend() == "torch" and count > 1:
        return index, count
    count = batch_devices()
    return (None, count) if count > 1 else None


def batch_devices():
    """Return the number of JAX replicas that a batch is split over."""
    if keras.backend.backend() != "jax":
        return 1
    strategy = keras.distribution.distribution()
    return strategy.num_model_replicas if strategy else 1


def wait_for_all():
    """Wait until all processes have called this: a barrier.

    For instance until the first process has written files. Only PyTorch runs
    several processes.
    """
    ops.convert_to_numpy(backend.all_reduce_sum(ops.zeros(1)))


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
            f"`num_devices` must be None or {count}, the number in use. With "
            "PyTorch, start the script with `torchrun --nproc-per-node "
            f"{num_devices}`. Received: num_devices={num_devices}"
        )
    return count


def _shard_kernels(mesh):
    """Return the distribution that shards kernels, chosen by their paths."""
    layouts = keras.distribution.LayoutMap(mesh)
    # In each pair of dense layers, the first kernel is sharded by columns and
    # the second by rows, so that one all-reduce after the pair is enough.
    by_columns, by_rows = (None, "model"), ("model", None)
    layouts[r"(.*/)?(query_key_value|expand)/kernel"] = by_columns
    layouts[r"(.*/)?(attention/projection|reduce)/kernel"] = by_rows
    layouts[r"(.*/)?projection/convolution/kernel"] = by_columns
    layouts[r"(.*/)?vocabulary/kernel"] = by_columns

    class ShardedKernels(keras.distribution.ModelParallel):
        def get_variable_layout(self, variable):
            layout = super().get_variable_layout(variable)
            sizes = zip(layout.axes, variable.shape, strict=True)
            if all(size % mesh.shape[1] == 0 for axis, size in sizes if axis):
                return layout
            replicated = (None,) * len(variable.shape)
            return keras.distribution.TensorLayout(replicated, mesh)

    return ShardedKernels(layout_map=layouts, batch_dim_name="batch")
