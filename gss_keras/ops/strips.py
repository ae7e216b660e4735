"""Apply functions to feature maps in strips, to bound peak memory."""

from keras import ops

from gss_keras.ops.backend import sequential_scan

# Target number of elements of a strip's largest activation, per photo: 64 MB.
_MAX_ELEMENTS = 2**24
# With fewer rows per strip, most of the work would be the overlapping halo.
_MIN_ROWS = 32


def strip_rows(elements):
    """Return the number of rows per strip for `map_strips`.

    It does not depend on the batch size, in which peak memory is linear.

    Args:
        elements: Elements per row of the largest activation; integer or
            scalar integer tensor.

    Returns:
        Integer or scalar integer tensor.
    """
    return _larger(_MIN_ROWS, _MAX_ELEMENTS // elements)


def map_strips(function, maps, rows, halo=0, input_factor=1, output_factor=1):
    """Apply a function to feature maps in strips of rows, sequentially.

    A strip is computed with a halo on both sides, which covers the receptive
    field and is cropped from the result. All strips have the same size and
    lie within the feature map; the first and last ones have their halo on one
    side only. So a function with zero padding pads at the borders of the
    feature map only, and results are equal up to rounding.

    Args:
        function: Function of a tensor `(batch, n * input_factor, ...)` for
            any n. Returns a tensor `(batch, n * output_factor, ...)`.
        maps: Tensor `(batch, height, ...)`, its height a multiple of
            `input_factor`.
        rows: Minimum number of rows of a strip, see `strip_rows`. A
            remainder is distributed, so there may be up to twice as many.
        halo: Number of rows above and below that an output row depends on.
        input_factor: Rows of `maps` per row of `rows` and `halo`.
        output_factor: Rows of the result per row of `rows` and `halo`.

    Returns:
        The result of `function(maps)`.

    Example:
        >>> from keras import ops
        >>> maps = ops.reshape(ops.arange(12.0), (1, 12, 1, 1))
        >>> half = map_strips(lambda m: m[:, ::2], maps, 2, input_factor=2)
        >>> [int(value) for value in half[0, :, 0, 0]]
        [0, 2, 4, 6, 8, 10]
    """
    height = ops.shape(maps)[1] // input_factor
    count = _larger(1, height // rows)
    if isinstance(count, int) and count == 1:
        return function(maps)
    rows = -(-height // count)
    count = -(-height // rows)
    size = _smaller(rows + 2 * halo, height)

    def step(index, carry):
        first = _smaller(index * rows, height - rows)
        start = _smaller(_larger(first - halo, 0), height - size)
        strip = _slice_rows(maps, start * input_factor, size * input_factor)
        skipped = (first - start) * output_factor
        result = _slice_rows(function(strip), skipped, rows * output_factor)
        return carry, (result,)

    _, (strips,) = sequential_scan(count, step, ())
    return _concatenate(strips, height * output_factor)


def _concatenate(strips, height):
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


def _slice_rows(maps, start, rows):
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
