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
