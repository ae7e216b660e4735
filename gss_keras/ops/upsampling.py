"""Nearest upsampling, and what need not wait for it."""

from keras import ops

from gss_keras.ops.kernels import convolve, spread, spreads_fast


def upsample(features):
    """Double height and width by repeating each position.

    Args:
        features: Tensor of shape `(batch, height, width, channels)`.

    Returns:
        Tensor of shape `(batch, 2 * height, 2 * width, channels)`.
    """
    _, height, width, channels = ops.shape(features)
    # On PyTorch, `ops.repeat` asks for values where Keras has shapes alone.
    places = ops.tile(features[:, :, None, :, None], (1, 1, 2, 1, 2, 1))
    return ops.reshape(places, (-1, 2 * height, 2 * width, channels))


def convolve_upsampled(features, kernel, bias):
    """Convolve a map as if it had been doubled by `upsample` before.

    After doubling, a 3x3 kernel sees each position several times: its entries
    over the same position may be added first. What is left are four kernels
    of 2x2 over the small map, one for each place in a doubled position: 4/9
    of the products. Seen from the small map they are one kernel of 4x4, by
    which each position paints around itself; PyTorch is faster that way.

    Args:
        features: Float tensor of shape `(batch, height, width, channels)`.
        kernel: Float tensor of shape `(3, 3, channels, filters)`.
        bias: Float tensor of shape `(filters,)`.

    Returns:
        Float tensor of shape `(batch, 2 * height, 2 * width, filters)`, equal
        to a convolution with zero padding but for rounding.
    """
    kernel = ops.cast(kernel, features.dtype)
    if spreads_fast():
        painted = ops.flip(kernel, (0, 1))
        for axis in (0, 1):
            painted = _sums_of_neighbors(painted, axis)
        return spread(features, painted, ops.cast(bias, features.dtype))
    places = [
        place
        for row in _sums_for_places(kernel, axis=0)
        for place in _sums_for_places(row, axis=1)
    ]
    around = convolve(
        ops.pad(features, [[0, 0], [1, 1], [1, 1], [0, 0]]),
        ops.concatenate(places, axis=-1),
        padding="valid",
        bias=ops.tile(bias, 4),
    )
    around = ops.split(around, 4, axis=-1)
    # The first place of a position looks up or left, the second one on.
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


def _sums_for_places(kernel, axis):
    """Add entries over the same position: for the first and second place."""
    first, middle, last = ops.split(kernel, 3, axis=axis)
    return (
        ops.concatenate([first, middle + last], axis=axis),
        ops.concatenate([first + middle, last], axis=axis),
    )


def _sums_of_neighbors(kernel, axis):
    """Add each entry and the one before it, with zeros at both ends."""
    zeros = ops.zeros_like(ops.take(kernel, [0], axis=axis))
    before = ops.concatenate([zeros, kernel], axis=axis)
    return before + ops.concatenate([kernel, zeros], axis=axis)
