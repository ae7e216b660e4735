"""Split the positions of feature maps into chunks of equal size."""

from keras import ops


class Chunks:
    """Split the positions of a batch of feature maps into equal chunks.

    The last chunk ends at the last position, so it may overlap the one before
    it. A chunk size that divides the number of positions avoids the overlap,
    and is preferred if it is not much smaller.

    Args:
        maps: Tensor of shape `(batch, height, width, channels)`.
        max_size: Maximum number of positions per chunk.

    Example:
        >>> chunks = Chunks(ops.zeros((2, 3, 5, 1)), max_size=8)
        >>> chunks.count, chunks.size, chunks.is_even
        (5, 6, True)
        >>> chunks = Chunks(ops.zeros((1, 1, 7, 1)), max_size=4)
        >>> [chunks.start(index) for index in range(chunks.count)]
        [0, 3]
    """

    def __init__(self, maps, max_size):
        self.shape = ops.shape(maps)[:-1]
        batch, height, width = self.shape
        self.positions = batch * height * width
        # Often only the batch size is dynamic; height and width are static.
        known = height * width
        if isinstance(self.positions, int):
            known = self.positions
        if isinstance(known, int):
            self.size = _size(max(1, known), max_size)
            self.is_even = known % self.size == 0
        else:
            self.size = ops.maximum(1, ops.minimum(max_size, self.positions))
            self.is_even = False
        self.count = -(-self.positions // self.size)

    def start(self, index):
        """Return the first position of a chunk."""
        first = index * self.size
        if self.is_even:
            return first
        last = self.positions - self.size
        if isinstance(first, int) and isinstance(last, int):
            return min(first, last)
        return ops.minimum(first, last)

    def take(self, rows, index):
        """Return a chunk's rows of a tensor `(positions, channels)`."""
        shape = self.size, rows.shape[-1]
        return ops.slice(rows, (self.start(index), 0), shape)

    def mask_repeated(self, rows, index):
        """Zero those rows of a chunk that overlap the chunk before it."""
        if self.is_even:
            return rows
        is_new = ops.arange(self.size) >= index * self.size - self.start(index)
        return rows * ops.cast(is_new, rows.dtype)[:, None]

    def join(self, results):
        """Reshape results `(count, size)` to `(batch, height, width)`."""
        results = ops.reshape(results, (-1,))
        if not self.is_even:
            last = (self.count - 1) * self.size
            parts = results[:last], results[last + self._repeated() :]
            results = ops.concatenate(parts)
        return ops.reshape(results, self.shape)

    def _repeated(self):
        return self.count * self.size - self.positions


def _size(positions, max_size):
    """Return a divisor near `max_size`, or the size with the least overlap."""
    for size in range(min(max_size, positions), max_size // 2, -1):
        if positions % size == 0:
            return size
    count = -(-positions // max_size)
    return -(-positions // count)
