"""The few operations that a backend must be asked for by name."""

import atexit
import ctypes
import datetime
import functools
import os
import sys

import keras
from keras import ops

# How long a process waits for the others, while the first one evaluates or
# writes files. Where one has died, `torchrun` ends the others at once.
_PATIENCE = datetime.timedelta(hours=6)


def resize_bilinear(features, height, width):
    """Resize maps bilinearly, to sizes that may be known only at run time.

    Pixel centers lie at half integers and nothing is smoothed when a map
    shrinks, which is what PyTorch calls `align_corners=False`. Keras' own
    resize compares the size with zero in Python and so refuses sizes that
    TensorFlow knows only at run time.

    Args:
        features: Float tensor of shape `(batch, height, width, channels)`.
        height: Height of the result; integer or scalar integer tensor.
        width: Width of the result; integer or scalar integer tensor.

    Returns:
        Tensor of shape `(batch, height, width, channels)`, same dtype.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        resized = tf.image.resize(features, (height, width))
        return tf.cast(resized, features.dtype)
    if keras.backend.backend() == "torch":
        import torch.nn.functional as F  # noqa: N812

        resized = F.interpolate(
            features.permute(0, 3, 1, 2), (int(height), int(width)),
            mode="bilinear", align_corners=False,
        )  # fmt: skip
        return resized.permute(0, 2, 3, 1)
    return ops.image.resize(
        features, (height, width), interpolation="bilinear", antialias=False
    )


def argmax(logits):
    """Return the index of the largest entry of the last axis as int32.

    The first of equal entries wins. On TensorFlow this avoids the bitcast
    that Keras adds for negative zeros, which ONNX Runtime and others refuse.

    Args:
        logits: Float tensor of shape `(..., entries)`.

    Returns:
        Int32 tensor of shape `(...)`, values in `[0, entries)`.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.argmax(logits, axis=-1, output_type=tf.int32)
    return ops.cast(ops.argmax(logits, axis=-1), "int32")


@functools.cache
def keep_freed_memory():
    """Let the C library keep freed memory for the next training step.

    As soon as TensorFlow reads batches from Python, it tells glibc to give
    every freed block above 128 kB back to the system at once, and each step
    asks for it again, page by page: on two CPU cores this doubled the time of
    a step. Call this after the first batch was asked for; it undoes that.
    Without TensorFlow or glibc, nothing happens.
    """
    if keras.backend.backend() != "tensorflow":
        return
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if hasattr(library, "mallopt"):
        # From glibc's malloc.h: the number of blocks mapped one by one, and
        # how much free memory at the end of the heap is kept.
        max_mapped, trim_threshold = -4, -1
        library.mallopt(max_mapped, 0)
        library.mallopt(trim_threshold, 2**31 - 1)


def is_jax_on_cpu():
    """Return whether JAX computes here, and on nothing better than a CPU."""
    if keras.backend.backend() != "jax":
        return False
    import jax

    return jax.default_backend() == "cpu"


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


def loop_in_turn(count, step, total):
    """Carry a tensor through a loop, one step after the other.

    TensorFlow would otherwise begin up to ten steps at a time, which is ten
    times the memory.

    Args:
        count: Number of steps; integer or scalar integer tensor.
        step: Function from the step's index and the tensor to the next one,
            of the same shape.
        total: The first one.

    Returns:
        The last one.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        def body(index, total):
            total = tf.ensure_shape(step(index, total), total.shape)
            return index + 1, total

        return tf.while_loop(
            lambda index, _: index < count,
            body,
            (tf.constant(0), total),
            parallel_iterations=1,
        )[1]
    for index in range(count):
        total = step(index, total)
    return total


def refuse_unless(requirements, tensor):
    """Let a TensorFlow graph end with an error where a tensor has a bad shape.

    Servers feed a graph without asking what shapes it was made for. So the
    shape is hidden from TensorFlow first, which would else decide from what
    it was told that all is well, and remove the question.

    Args:
        requirements: Function from the tensor's shape, an int64 tensor of
            any length, to pairs of a boolean tensor and of what to say where
            it is false. Each is computed only where those before it are true.
        tensor: Any tensor of known rank.

    Returns:
        The same tensor, which fails to be computed unless all is well.
    """
    import tensorflow as tf

    hidden = tf.raw_ops.PlaceholderWithDefault(
        input=tensor, shape=tf.TensorShape(None)
    )
    shape, passed = tf.shape(hidden, out_type=tf.int64), []
    for condition, message in requirements(shape):
        with tf.control_dependencies(passed):
            data = [message, shape]
            passed = [tf.debugging.Assert(condition, data, summarize=9)]
    with tf.control_dependencies(passed):
        return tf.ensure_shape(tf.identity(hidden), tensor.shape)


def write_records(path, records):
    """Write a file of TensorFlow's record format.

    Args:
        path: Path of the file.
        records: Bytes strings, one a record.
    """
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
