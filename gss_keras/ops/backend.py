"""The few operations that a backend must be asked for by name."""

import ctypes
import functools
import sys

import keras
from keras import ops


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


def add_scaled(features, others, scale):
    """Add maps of one shape, the others times a number, without one between.

    Args:
        features: Float tensor.
        others: Float tensor of the same shape that nobody else reads; where
            PyTorch needs no gradient, the sum takes its place in memory.
        scale: Float.

    Returns:
        `features + scale * others`.
    """
    if keras.backend.backend() != "torch":
        return features + scale * others
    if features.requires_grad or others.requires_grad:
        return features.add(others, alpha=scale)
    return others.mul_(scale).add_(features)


def halve(features):
    """Keep the largest of each 2 x 2 positions.

    Keras' pooling copies maps on PyTorch, and writes down where each largest
    one was, which is for gradients alone.

    Args:
        features: Float tensor `(batch, rows, columns, channels)`; an odd
            last row or column is left out.

    Returns:
        Tensor of shape `(batch, rows // 2, columns // 2, channels)`.
    """
    if keras.backend.backend() != "torch":
        return ops.max_pool(features, 2, 2, data_format="channels_last")
    if not features.requires_grad:
        rows = features[:, :-1:2].maximum(features[:, 1::2])
        return rows[:, :, :-1:2].maximum(rows[:, :, 1::2])
    import torch.nn.functional as F  # noqa: N812

    result = F.max_pool2d(features.permute(0, 3, 1, 2), 2)
    return result.permute(0, 2, 3, 1)


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


def scan_in_turn(count, step, carry):
    """Run a loop that also collects a result of every step.

    As in `loop_in_turn`, no step begins before the one before it has ended.

    Args:
        count: Number of steps, at least 1; integer or scalar integer tensor.
        step: Function from the step's index and the carried tensors to the
            next carried ones, of the same shapes, and a tuple of results.
        carry: Tuple of tensors that the first step gets; may be empty.

    Returns:
        The tensors that the last step carries on, and a tuple of the results,
        those of all steps stacked along a new first axis.
    """
    if keras.backend.backend() == "jax":
        import jax

        return jax.lax.scan(
            lambda carry, index: step(index, carry), carry, ops.arange(count)
        )
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if not tf.executing_eagerly():
            return _scan_in_graph(count, step, carry)
    results = None
    for index in range(int(count)):
        carry, parts = step(index, carry)
        if results is None:
            results = [_Collected(count, part) for part in parts]
        for result, part in zip(results, parts, strict=True):
            result.add(index, part)
    return carry, tuple(result.stacked() for result in results)


class _Collected:
    """Results of a loop: on PyTorch written where they stay, or stacked."""

    def __init__(self, count, example):
        self.parts, self.whole = [], None
        if keras.backend.backend() == "torch":
            self.whole = example.new_empty((count, *example.shape))

    def add(self, index, part):
        if self.whole is None:
            self.parts.append(part)
        else:
            self.whole[index] = part

    def stacked(self):
        return ops.stack(self.parts) if self.whole is None else self.whole


def _scan_in_graph(count, step, carry):
    import tensorflow as tf

    # Shows what a step gives; TensorFlow leaves out what nobody asks for.
    _, results = step(0, carry)
    arrays = tuple(
        tf.TensorArray(r.dtype, count, element_shape=r.shape) for r in results
    )

    def body(index, carry, arrays):
        carry, results = step(index, carry)
        pairs = zip(arrays, results, strict=True)
        return index + 1, carry, tuple(a.write(index, r) for a, r in pairs)

    _, carry, arrays = tf.while_loop(
        lambda index, *_: index < count,
        body,
        (tf.constant(0), carry, arrays),
        parallel_iterations=1,
    )
    return carry, tuple(array.stack() for array in arrays)


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
