"""Choose the devices that a model is trained on."""

import keras
from keras import ops

from gss_keras.distribution import backend


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
        return _check_count(batch_devices(), num_devices)
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
    count = batch_devices()
    return (None, count) if count > 1 else None


def batch_devices():
    """Return the number of JAX's devices that a batch is split over."""
    if keras.backend.backend() != "jax":
        return 1
    engine = keras.distribution.distribution()
    return engine.num_model_replicas if engine else 1


def wait_for_all():
    """Wait until all processes are here, for instance for files of the first.

    Only PyTorch has more than one.
    """
    ops.convert_to_numpy(backend.sum_over_parts(ops.zeros(1)))


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
