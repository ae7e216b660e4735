"""Nearest-neighbor upsampling, alone and fused with a convolution."""

from keras import ops

from gss_keras.ops.kernels import (
    conv_transpose,
    convolve,
    has_fast_conv_transpose,
)


def upsample(features):
    """Upsample by a factor of 2, nearest neighbor.

    Args:
        features: Tensor of shape `(batch, height, width, channels)`.

    Returns:
        Tensor of shape `(batch, 2 * height, 2 * width, channels)`.
    """
    _, height, width, channels = ops.shape(features)
    # On PyTorch, `ops.repeat` fails during shape inference.
    places = ops.tile(features[:, :, None, :, None], (1, 1, 2, 1, 2, 1))
    return ops.reshape(places, (-1, 2 * height, 2 * width, channels))


def convolve_upsampled(features, kernel, bias):
    """Apply a 3x3 convolution after `upsample`, computed at low resolution.

    After upsampling, several entries of a 3x3 kernel see the same position
    and can be summed first. This leaves four 2x2 kernels over the small
    feature map, one per subpixel: 4/9 of the multiplications. Together they
    equal one 4x4 transposed convolution of stride 2, which is faster on
    PyTorch.

    Args:
        features: Float tensor of shape `(batch, height, width, channels)`.
        kernel: Float tensor of shape `(3, 3, channels, filters)`.
        bias: Float tensor of shape `(filters,)`.

    Returns:
        Float tensor of shape `(batch, 2 * height, 2 * width, filters)`, equal
        to a convolution with zero padding up to rounding.
    """
    kernel = ops.cast(kernel, features.dtype)
    if has_fast_conv_transpose():
        transposed = ops.flip(kernel, (0, 1))
        for axis in (0, 1):
            transposed = _sums_of_neighbors(transposed, axis)
        bias = ops.cast(bias, features.dtype)
        return conv_transpose(features, transposed, bias)
    subpixels = [
        subpixel
        for row in _sums_for_subpixels(kernel, axis=0)
        for subpixel in _sums_for_subpixels(row, axis=1)
    ]
    around = convolve(
        ops.pad(features, [[0, 0], [1, 1], [1, 1], [0, 0]]),
        ops.concatenate(subpixels, axis=-1),
        padding="valid",
        bias=ops.tile(bias, 4),
    )
    around = ops.split(around, 4, axis=-1)
    # The first subpixel reads the position above or left, the second the
    # one below or right.
    height, width = ops.shape(features)[1], ops.shape(features)[2]
    rows = [
        ops.stack(
            [
                around[2 * y + x][:, y : y + height, x : x + width]
                for x in range(2)
            ],
            axis=3,
        )
        for y in range(2)
    ]
    doubled = ops.stack(rows, axis=2)
    shape = (-1, 2 * height, 2 * width, kernel.shape[-1])
    return ops.reshape(doubled, shape)


def _sums_for_subpixels(kernel, axis):
    """Sum entries over the same position, for the first and second subpixel."""
    first, middle, last = ops.split(kernel, 3, axis=axis)
    return (
        ops.concatenate([first, middle + last], axis=axis),
        ops.concatenate([first + middle, last], axis=axis),
    )


def _sums_of_neighbors(kernel, axis):
    """Add each entry and the one before it, zero-padded at both ends."""
    zeros = ops.zeros_like(ops.take(kernel, [0], axis=axis))
    before = ops.concatenate([zeros, kernel], axis=axis)
    return before + ops.concatenate([kernel, zeros], axis=axis)
