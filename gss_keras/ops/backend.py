"""Operations that need the backend's own API: resizing, argmax, loops."""

import keras
import numpy as np
from keras import ops


def resize_bilinear(features, height, width):
    """Resize feature maps bilinearly, also to sizes known only at run time.

    Half-pixel centers without antialiasing, PyTorch's `align_corners=False`.
    Keras' own resize compares the size with zero in Python, which raises for
    dynamic sizes on TensorFlow.

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
    """Return the argmax over the last axis as int32.

    Ties go to the first index. On TensorFlow this avoids the bitcast that
    Keras adds for negative zeros, which ONNX Runtime and others reject.

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
    """Compute `features + scale * others` without an intermediate tensor.

    Args:
        features: Float tensor.
        others: Float tensor of the same shape, not used elsewhere: without
            gradients, PyTorch overwrites it with the sum.
        scale: Float.

    Returns:
        `features + scale * others`.
    """
    if keras.backend.backend() != "torch":
        return features + scale * others
    if features.requires_grad or others.requires_grad:
        return features.add(others, alpha=scale)
    return others.mul_(scale).add_(features)


def max_pool_2x2(features):
    """Apply 2x2 max pooling of stride 2.

    On PyTorch, Keras' own max pooling copies feature maps, and stores the
    indices of the maxima, which only gradients need.

    Args:
        features: Float tensor `(batch, rows, columns, channels)`; an odd
            last row or column is dropped.

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


def is_jax_on_cpu():
    """Return whether the backend is JAX on a CPU."""
    if keras.backend.backend() != "jax":
        return False
    import jax

    return jax.default_backend() == "cpu"


def sequential_loop(count, step, total):
    """Run a loop with a carried tensor, strictly sequentially.

    TensorFlow's own loops run up to ten iterations in parallel, with ten
    times the peak memory.

    Args:
        count: Number of iterations; integer or scalar integer tensor.
        step: Function from the index and the carried tensor to the next one,
            of the same shape.
        total: The initial tensor. For a NumPy array or None, this is a plain
            Python loop.

    Returns:
        The carried tensor after the last iteration.
    """
    is_tensor = keras.ops.is_tensor(total)
    if keras.backend.backend() == "tensorflow" and is_tensor:
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


def add_region(total, scores, top, left):
    """Add scores to a rectangle of a larger tensor, in place if possible.

    Args:
        total: Float32 NumPy array or tensor `(batch, height, width,
            channels)`. NumPy arrays and PyTorch tensors are changed in place.
        scores: The same with fewer rows and columns.
        top: First row of the rectangle; integer or scalar integer tensor.
        left: First column; integer or scalar integer tensor.

    Returns:
        The sum, of the shape of `total`.
    """
    is_array = isinstance(total, np.ndarray)
    height, width = scores.shape[1:3] if is_array else ops.shape(scores)[1:3]
    if is_array or keras.backend.backend() == "torch":
        total[:, top : top + height, left : left + width] += scores
        return total
    below = ops.shape(total)[1] - top - height
    right = ops.shape(total)[2] - left - width
    padding = [[0, 0], [top, below], [left, right], [0, 0]]
    return total + ops.pad(scores, padding)


def sequential_scan(count, step, carry):
    """Run a sequential loop that stacks a result per iteration: a scan.

    As in `sequential_loop`, iterations never overlap.

    Args:
        count: Number of iterations, at least 1; integer or scalar integer
            tensor.
        step: Function from the index and the carried tensors to the next
            carried ones, of the same shapes, and a tuple of results.
        carry: Tuple of the initial carried tensors; may be empty.

    Returns:
        The carried tensors after the last iteration, and a tuple of the
        results, stacked along a new first axis.
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
    stacks = None
    for index in range(int(count)):
        carry, results = step(index, carry)
        if stacks is None:
            stacks = [_Stack(count, result) for result in results]
        for stack, result in zip(stacks, results, strict=True):
            stack.add(index, result)
    return carry, tuple(stack.tensor() for stack in stacks)


class _Stack:
    """Stack the results of a loop, on PyTorch in a preallocated tensor."""

    def __init__(self, count, example):
        self.results, self.preallocated = [], None
        if keras.backend.backend() == "torch":
            self.preallocated = example.new_empty((count, *example.shape))

    def add(self, index, result):
        if self.preallocated is None:
            self.results.append(result)
        else:
            self.preallocated[index] = result

    def tensor(self):
        if self.preallocated is None:
            return ops.stack(self.results)
        return self.preallocated


def _scan_in_graph(count, step, carry):
    import tensorflow as tf

    # For the shapes and dtypes alone; TensorFlow prunes unused operations.
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


def assert_shape(requirements, tensor):
    """Assert requirements on a tensor's shape in a TensorFlow graph.

    Servers feed a graph with any shape. The static shape is hidden first:
    otherwise TensorFlow evaluates the assertion at trace time and prunes it.

    Args:
        requirements: Function from the tensor's shape, an int64 tensor of
            any length, to pairs of a boolean tensor and an error message.
            Each is evaluated only if those before it hold.
        tensor: Any tensor of known rank.

    Returns:
        The same tensor, with the assertions as control dependencies.
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
    """Write a TFRecord file.

    Args:
        path: Path of the file.
        records: Iterable of bytes, one per record.
    """
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
