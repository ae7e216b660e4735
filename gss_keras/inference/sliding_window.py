"""Score large photos window by window and average where windows overlap."""

import numpy as np


def window_starts(size, window, stride):
    """Place windows along one side of a photo.

    Windows lie `stride` apart; the last one is moved back so that it ends
    where the photo does.

    Args:
        size: Length of the side in pixels.
        window: Length of a window in pixels.
        stride: Distance between windows in pixels.

    Returns:
        List of the first pixel of each window. A window longer than the side
        starts at 0 and reaches to its end.

    Example:
        >>> window_starts(75, window=32, stride=20)
        [0, 20, 40, 43]
    """
    count = max(0, -(-(size - window) // stride)) + 1
    last = max(0, size - window)
    return [min(index * stride, last) for index in range(count)]


def score_windows(score, photos, window, stride):
    """Average the scores of overlapping windows.

    Args:
        score: Function from photos `(batch, h, w, 3)` to an array of class
            scores `(batch, h, w, num_classes)`.
        photos: Array of shape `(batch, height, width, 3)`.
        window: Pair of ints, height and width of a window in pixels.
        stride: Pair of ints, distance of windows downwards and sideways.

    Returns:
        Float32 array of shape `(batch, height, width, num_classes)`.

    Raises:
        ValueError: If `window` or `stride` is no pair of positive ints, or a
            stride exceeds its window, which would leave gaps.

    Reference:
        The release evaluates Cityscapes with windows of 768 and strides of
        512, see `slide_inference` of mmsegmentation.
    """
    window, stride = window_and_stride(window, stride)
    height, width = photos.shape[1:3]
    total, count = 0.0, np.zeros((height, width, 1), "float32")
    for top in window_starts(height, window[0], stride[0]):
        for left in window_starts(width, window[1], stride[1]):
            rows = slice(top, top + window[0])
            columns = slice(left, left + window[1])
            scores = score(photos[:, rows, columns])
            if not count.any():
                shape = (len(photos), height, width, scores.shape[-1])
                total = np.zeros(shape, "float32")
            total[:, rows, columns] += scores
            count[rows, columns] += 1
    total /= count
    return total


def window_and_stride(window, stride=None):
    """Check a window and its stride, and fill in what is missing.

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
