"""Work through maps in strips of rows, so that wide ones never are whole."""

from keras import ops

from gss_keras.ops.backend import scan_in_turn

# Entries of the widest map that a strip should have, in one photo: 64 MB.
_HELD = 2**24
# Fewer rows of a strip would be mostly those computed for its neighbors too.
_FEWEST = 32


def rows_of_strip(entries):
    """Return how many rows a strip should have.

    It does not depend on the batch, so that memory grows evenly with it.

    Args:
        entries: Numbers that a row takes in the widest map that is computed
            from it; integer or scalar integer tensor.

    Returns:
        Integer or scalar integer tensor.
    """
    return _larger(_FEWEST, _HELD // entries)


def in_strips(function, maps, rows, halo=0, read=1, written=1):
    """Compute a function of maps strip by strip, one after the other.

    A strip is computed with a few more rows on both sides, as many as its own
    rows depend on, which are cut off again. Where the map ends, strips end
    with it: all are of equal size, so those at the ends have what is missing
    on the other side. Hence a function that pads with zeros pads where the
    map ends and nowhere else, and results are the same but for rounding.

    Args:
        function: Function of a tensor `(batch, rows * read, ...)`, for any
            number of rows. Returns a tensor `(batch, rows * written, ...)`.
        maps: Tensor `(batch, height, ...)`, its height a multiple of `read`.
        rows: Rows of a strip, at the least; see `rows_of_strip`. The last
            ones are shared out, so there may be up to twice as many.
        halo: Rows above and below that a row of the result depends on.
        read: Rows of the maps that make one row here.
        written: Rows of the result that one row here turns to.

    Returns:
        What `function(maps)` returns.

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
    """Lay strips below each other; the last one ends where the map does."""
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
