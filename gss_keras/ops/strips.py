"""Compute functions of feature maps strip by strip, to bound peak memory."""

from keras import ops

from gss_keras.ops.backend import scan_in_turn

# Target number of elements of a strip's largest activation, per photo: 64 MB.
_MAX_ELEMENTS = 2**24
# With fewer rows per strip, most of the work would be the overlapping halo.
_MIN_ROWS = 32


def rows_of_strip(elements):
    """Return the number of rows of a strip.

    It is independent of the batch size, so that memory is linear in that.

    Args:
        elements: Elements per row of the largest activation; integer or
            scalar integer tensor.

    Returns:
        Integer or scalar integer tensor.
    """
    return _larger(_MIN_ROWS, _MAX_ELEMENTS // elements)


def in_strips(function, maps, rows, halo=0, read=1, written=1):
    """Compute a function of feature maps in strips of rows, sequentially.

    A strip is computed with a halo on both sides, as many rows as its own
    depend on, which are cropped from the result. All strips have the same
    size and lie within the feature map; the halo of the first and last ones
    is on one side only. So a function that pads with zeros does so at the
    borders of the feature map alone, and results are equal up to rounding.

    Args:
        function: Function of a tensor `(batch, rows * read, ...)`, for any
            number of rows. Returns a tensor `(batch, rows * written, ...)`.
        maps: Tensor `(batch, height, ...)`, its height a multiple of `read`.
        rows: Minimum number of rows of a strip, see `rows_of_strip`. A
            remainder is distributed, so there may be up to twice as many.
        halo: Rows above and below that an output row depends on.
        read: Input rows per row of the units above.
        written: Output rows per row of the units above.

    Returns:
        The result of `function(maps)`.

    Example:
        >>> from keras import ops
        >>> maps = ops.reshape(ops.arange(12.0), (1, 12, 1, 1))
        >>> halved = in_strips(lambda m: m[:, ::2], maps, rows=2, read=2)
        >>> [int(value) for value in halved[0, :, 0, 0]]
        [0, 2, 4, 6, 8, 10]
    """
    height = ops.shape(maps)[1] // read
    count = _larger(1, height // rows)
    if isinstance(count, int) and count == 1:
        return function(maps)
    rows = -(-height // count)
    count = -(-height // rows)
    size = _smaller(rows + 2 * halo, height)

    def step(index, carry):
        first = _smaller(index * rows, height - rows)
        start = _smaller(_larger(first - halo, 0), height - size)
        result = function(_slice_of(maps, start * read, size * read))
        kept = _slice_of(result, (first - start) * written, rows * written)
        return carry, (kept,)

    _, (strips,) = scan_in_turn(count, step, ())
    return _joined(strips, height * written)


def _joined(strips, height):
    """Concatenate strips vertically; the last one overlaps the one before."""
    count, batch, rows, *others = ops.shape(strips)
    order = (1, 0, *range(2, 3 + len(others)))
    maps = ops.reshape(
        ops.transpose(strips, order), (batch, count * rows, *others)
    )
    repeated = count * rows - height
    if isinstance(repeated, int) and repeated == 0:
        return maps
    last = (count - 1) * rows
    parts = maps[:, :last], maps[:, last + repeated :]
    return ops.concatenate(parts, axis=1)


def _slice_of(maps, start, rows):
    batch, _, *others = ops.shape(maps)
    first = (0, start) + (0,) * len(others)
    return ops.slice(maps, first, (batch, rows, *others))


def _smaller(first, second):
    if isinstance(first, int) and isinstance(second, int):
        return min(first, second)
    return ops.minimum(first, second)


def _larger(first, second):
    if isinstance(first, int) and isinstance(second, int):
        return max(first, second)
    return ops.maximum(first, second)
