"""What a backend must be asked for by name where it has several devices."""

import atexit
import datetime
import functools
import os

import keras

# How long a process waits for the others, while the first one evaluates or
# writes files. Where one has died, `torchrun` ends the others at once.
_PATIENCE = datetime.timedelta(hours=6)


def start_replicas(names):
    """Let TensorFlow split every batch over devices from here on.

    Args:
        names: Names of the devices, two or more.
    """
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(names)
    tf.distribute.experimental_set_strategy(strategy)


def replica_devices():
    """Name the devices that TensorFlow could split a batch over, or does.

    Returns:
        List of names, GPUs if there are any, and whether it does already.
    """
    import tensorflow as tf

    if tf.distribute.has_strategy():
        return tf.distribute.get_strategy().extended.worker_devices, True
    devices = tf.config.list_logical_devices("GPU")
    devices = devices or tf.config.list_logical_devices("CPU")
    return [device.name for device in devices], False


def join_processes():
    """Join the PyTorch processes that `torchrun` started beside this one.

    Returns:
        Number of processes; 1 where `torchrun` started none.

    Raises:
        ValueError: If there are more processes here than GPUs.
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
                "Each process needs a GPU of its own. Start no more with "
                f"`torchrun --nproc-per-node` than there are, {gpus}. "
                f"Received: LOCAL_RANK={index}"
            )
        torch.cuda.set_device(index)
        options = {"backend": "nccl", "device_id": torch.device("cuda", index)}
    distributed.init_process_group(timeout=_PATIENCE, **options)
    atexit.register(distributed.destroy_process_group)
    return distributed.get_world_size()


def part():
    """Say which part of every batch this code is run for.

    A part is what one replica of TensorFlow or one process of PyTorch gets.
    JAX's code is run for the whole batch, however many devices compute it,
    and so is TensorFlow's outside of its replicas.

    Returns:
        Index of the part, an int or a scalar int tensor, and the number of
        parts, an int.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        replica = tf.distribute.get_replica_context()
        if replica:
            index = replica.replica_id_in_sync_group
            return index, replica.num_replicas_in_sync
    if keras.backend.backend() == "torch":
        from torch import distributed

        if distributed.is_available() and distributed.is_initialized():
            return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def sum_over_parts(tensor):
    """Add up what the code gives for each part of the batch.

    It waits until it was called for every part. Gradients pass through.

    Args:
        tensor: Tensor, of one shape and type for all parts.

    Returns:
        The sum, a tensor of that shape and type.
    """
    if part()[1] == 1:
        return tensor
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.distribute.get_replica_context().all_reduce("sum", tensor)
    return _torch_sum()(tensor)


@functools.cache
def _torch_sum():
    """Define the sum over processes where there is PyTorch."""
    import torch
    from torch import distributed

    class Sum(torch.autograd.Function):
        @staticmethod
        def forward(context, tensor):  # noqa: ARG004
            # Keras tries out shapes on tensors that hold no values.
            if tensor.is_meta:
                return tensor.clone()
            total = tensor.detach().clone()
            distributed.all_reduce(total)
            return total

        @staticmethod
        def backward(context, gradient):  # noqa: ARG004
            return Sum.apply(gradient)

    return Sum.apply


def is_learning(tensor):
    """Return whether the step that computes a tensor updates weights.

    Only where PyTorch has processes is this known, and asked.
    """
    return keras.backend.backend() != "torch" or tensor.requires_grad


def copy_from_first_part(variables):
    """Give variables of PyTorch's processes the values of the first one."""
    from torch import distributed

    for variable in variables:
        distributed.broadcast(variable.value.detach(), src=0)


def run_for_one_part(function, tensor):
    """Call a function once, though variables may live on several devices.

    Outside of its replicas, TensorFlow divides what is assigned to a metric's
    variable among them, which integers do not survive. So the function is run
    in every replica, with zeros in all but the first.

    Args:
        function: Callable of a tensor that returns nothing.
        tensor: Its argument.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Shapes are tried out in graphs, where nothing is assigned.
        if tf.executing_eagerly() and tf.distribute.in_cross_replica_context():

            def run():
                is_first = tf.cast(part()[0] == 0, tensor.dtype)
                function(tensor * is_first)

            tf.distribute.get_strategy().run(run)
            return
    function(tensor)
