"""Replicas, processes and collectives, by each backend's own API."""

import atexit
import datetime
import functools
import os

import keras

# Timeout of collectives: how long a process waits for the others while the
# first one evaluates or writes files. If a process dies, `torchrun` ends the
# others at once.
_TIMEOUT = datetime.timedelta(hours=6)


def start_replicas(names):
    """Set a `MirroredStrategy` as TensorFlow's global distribution strategy.

    Args:
        names: Names of the devices, two or more.
    """
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(names)
    tf.distribute.experimental_set_strategy(strategy)


def replica_devices():
    """Return the devices that TensorFlow splits a batch over, or could.

    Returns:
        A pair: the list of their names, GPUs if there are any, and whether a
        distribution strategy is set already.
    """
    import tensorflow as tf

    if tf.distribute.has_strategy():
        return tf.distribute.get_strategy().extended.worker_devices, True
    devices = tf.config.list_logical_devices("GPU")
    devices = devices or tf.config.list_logical_devices("CPU")
    return [device.name for device in devices], False


def join_processes():
    """Initialize PyTorch's process group if there are several processes.

    Returns:
        Number of processes; 1 without `torchrun`.

    Raises:
        ValueError: If there are more local processes than GPUs.
    """
    import torch
    from torch import distributed

    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return 1
    if distributed.is_initialized():
        return distributed.get_world_size()
    options = {"backend": "gloo"}
    if torch.cuda.is_available():
        index, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if index >= gpus:
            raise ValueError(
                "Each process needs a GPU of its own, and there are "
                f"{gpus}. Start at most {gpus} processes with `torchrun "
                f"--nproc-per-node`. Received: LOCAL_RANK={index}"
            )
        torch.cuda.set_device(index)
        options = {"backend": "nccl", "device_id": torch.device("cuda", index)}
    distributed.init_process_group(timeout=_TIMEOUT, **options)
    atexit.register(distributed.destroy_process_group)
    return distributed.get_world_size()


def replica():
    """Return the index of the current replica and the number of replicas.

    A replica is one of TensorFlow's or one of PyTorch's processes; each
    computes a shard of the batch. JAX code, like TensorFlow code outside of a
    replica context, runs once for the whole batch, on any number of devices.

    Returns:
        Index of the replica, an int or a scalar int tensor, and the number of
        replicas, an int.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        context = tf.distribute.get_replica_context()
        if context:
            index = context.replica_id_in_sync_group
            return index, context.num_replicas_in_sync
    if keras.backend.backend() == "torch":
        from torch import distributed

        if distributed.is_available() and distributed.is_initialized():
            return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def all_reduce_sum(tensor):
    """Sum a tensor over all replicas: an all-reduce.

    Blocks until every replica has called it. Differentiable.

    Args:
        tensor: Tensor, of the same shape and dtype on all replicas.

    Returns:
        The sum, a tensor of that shape and dtype.
    """
    if replica()[1] == 1:
        return tensor
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.distribute.get_replica_context().all_reduce("sum", tensor)
    return _torch_all_reduce_sum()(tensor)


@functools.cache
def _torch_all_reduce_sum():
    """Define the autograd function; needs PyTorch."""
    import torch
    from torch import distributed

    class AllReduceSum(torch.autograd.Function):
        @staticmethod
        def forward(context, tensor):  # noqa: ARG004
            # Keras infers shapes with tensors on the meta device.
            if tensor.is_meta:
                return tensor.clone()
            total = tensor.detach().clone()
            distributed.all_reduce(total)
            return total

        @staticmethod
        def backward(context, gradient):  # noqa: ARG004
            return AllReduceSum.apply(gradient)

    return AllReduceSum.apply


def has_gradient(tensor):
    """Return whether a tensor takes part in a backward pass.

    Only PyTorch can tell; always True on the other backends.
    """
    return keras.backend.backend() != "torch" or tensor.requires_grad


def broadcast_from_first(variables):
    """Broadcast variables from the first PyTorch process to all others."""
    from torch import distributed

    for variable in variables:
        distributed.broadcast(variable.value.detach(), src=0)


def run_on_one_replica(function, tensor):
    """Call a function that updates a metric, on one replica only.

    Outside of a replica context, TensorFlow divides the value assigned to a
    metric's variable by the number of replicas, which is wrong for integers.
    So the function runs on every replica, with zeros on all but the first.

    Args:
        function: Callable of a tensor that returns nothing.
        tensor: Its argument.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # In graphs, Keras only infers shapes here, and nothing is assigned.
        if tf.executing_eagerly() and tf.distribute.in_cross_replica_context():

            def run():
                is_first = tf.cast(replica()[0] == 0, tensor.dtype)
                function(tensor * is_first)

            tf.distribute.get_strategy().run(run)
            return
    function(tensor)
