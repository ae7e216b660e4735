"""Sliding-window inference: score windows and average where they overlap."""

import numpy as np
from keras import ops

from gss_keras.ops.backend import add_region, sequential_loop


def window_starts(size, window, stride):
    """Return the first pixels of the windows along one side of a photo.

    Windows are `stride` apart; the last one is moved back so that it ends
    with the photo.

    Args:
        size: Length of the side in pixels; integer or scalar int tensor.
        window: Length of a window in pixels.
        stride: Distance between windows in pixels.

    Returns:
        List of ints, or an int32 tensor if `size` is one. A window longer
        than the side starts at 0 and is cut off at its end.

    Example:
        >>> window_starts(75, window=32, stride=20)
        [0, 20, 40, 43]
    """
    if isinstance(size, int):
        last = max(0, size - window)
        count = -(-last // stride) + 1
        return [min(index * stride, last) for index in range(count)]
    last = ops.maximum(size - window, 0)
    count = (last + stride - 1) // stride + 1
    return ops.minimum(ops.arange(count) * stride, last)


def score_windows(score, photos, window, stride, channels=None):
    """Average the scores of overlapping windows, eagerly or in a graph.

    Args:
        score: Function from photos `(batch, h, w, 3)` to scores `(batch, h,
            w, channels)`, arrays or tensors as the photos are.
        photos: NumPy array `(batch, height, width, 3)`, or a tensor, whose
            sizes may be known only at run time.
        window: Pair of ints, height and width of a window in pixels.
        stride: Pair of ints, vertical and horizontal distance of windows.
        channels: Channels of the scores; needed for tensors.

    Returns:
        Float32 array or tensor of shape `(batch, height, width, channels)`.

    Raises:
        ValueError: If `window` or `stride` is no pair of positive ints, or a
            stride exceeds its window, which would leave gaps.

    Reference:
        The release evaluates Cityscapes with windows of 768 and strides of
        512, see `slide_inference` of mmsegmentation.
    """
    window, stride = window_and_stride(window, stride)
    is_array = isinstance(photos, np.ndarray)
    shape = photos.shape if is_array else ops.shape(photos)
    batch, height, width = shape[:3]
    tops = window_starts(height, window[0], stride[0])
    lefts = window_starts(width, window[1], stride[1])
    columns = _length(lefts)

    def add_window(index, total):
        top = _start_at(tops, index // columns)
        left = _start_at(lefts, index % columns)
        # A slice ends with the photo.
        crops = photos[:, top : top + window[0], left : left + window[1]]
        scores = score(crops)
        if total is None:
            shape = batch, height, width, scores.shape[-1]
            total = np.zeros(shape, "float32")
        return add_region(total, scores, top, left)

    total = None
    if not is_array:
        total = ops.zeros((batch, height, width, channels), "float32")
    total = sequential_loop(_length(tops) * columns, add_window, total)
    counts = (
        _times_covered(tops, height, window[0])[:, None]
        * _times_covered(lefts, width, window[1])[None, :]
    )[..., None]
    if is_array:
        # In place: the scores of a large photo fill gigabytes.
        total /= ops.convert_to_numpy(counts)
        return total
    return total / counts


def _length(starts):
    return len(starts) if isinstance(starts, list) else ops.shape(starts)[0]


def _start_at(starts, index):
    if isinstance(index, int):
        return int(starts[index])
    return ops.convert_to_tensor(starts, "int32")[index]


def _times_covered(starts, size, window):
    """Return how many windows cover each position, float32 `(size,)`."""
    positions = ops.arange(size, dtype="int32")[None, :]
    starts = ops.convert_to_tensor(starts, "int32")[:, None]
    is_covered = (positions >= starts) & (positions < starts + window)
    return ops.sum(ops.cast(is_covered, "float32"), axis=0)


def window_and_stride(window, stride=None):
    """Validate a window and its stride, and set the default stride.

    Args:
        window: Pair of ints, height and width in pixels, or None for none.
        stride: Pair of ints, or None for two thirds of the window.

    Returns:
        Both as tuples, or None and None.

    Raises:
        ValueError: If one is no pair of positive ints, or a stride exceeds
            its window, which would leave gaps.

    Example:
        >>> window_and_stride((768, 768))
        ((768, 768), (512, 512))
    """
    if window is None:
        return None, None
    _check_pair("window", window)
    if stride is None:
        stride = [-(-2 * side // 3) for side in window]
    _check_pair("stride", stride)
    if stride[0] > window[0] or stride[1] > window[1]:
        raise ValueError(
            "`stride` must not exceed `window`, or pixels would be left out. "
            f"Received: stride={stride}, window={window}"
        )
    return tuple(window), tuple(stride)


def _check_pair(name, pair):
    if (
        not isinstance(pair, tuple | list)
        or len(pair) != 2
        or not all(isinstance(side, int) and side > 0 for side in pair)
    ):
        raise ValueError(
            f"`{name}` must be two positive ints, height and width. "
            f"Received: {name}={pair!r}"
        )
