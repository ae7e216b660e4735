"""Divide the positions of maps into chunks that are worked on in turn."""

from keras import ops


class Chunks:
    """Equal chunks of the positions of a batch of maps.

    The last chunk ends where the positions do, so it may begin with some that
    the chunk before it had, too. A size that divides the positions of a map
    is taken where there is one that is not much smaller: then none do.

    Args:
        maps: Tensor of shape `(batch, height, width, channels)`.
        most: Positions of a chunk, at most.

    Example:
        >>> chunks = Chunks(ops.zeros((2, 3, 5, 1)), most=8)
        >>> chunks.count, chunks.size, chunks.is_even
        (5, 6, True)
        >>> chunks = Chunks(ops.zeros((1, 1, 7, 1)), most=4)
        >>> [chunks.start(index) for index in range(chunks.count)]
        [0, 3]
    """

    def __init__(self, maps, most):
        self.shape = ops.shape(maps)[:-1]
        batch, height, width = self.shape
        self.positions = batch * height * width
        # The batch is often known only at run time, and the sides are not.
        known = height * width
        if isinstance(self.positions, int):
            known = self.positions
        if isinstance(known, int):
            self.size = _size(max(1, known), most)
            self.is_even = known % self.size == 0
        else:
            self.size = ops.maximum(1, ops.minimum(most, self.positions))
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

    def without_seen(self, rows, index):
        """Return a chunk's rows with zeros where a chunk before had them."""
        if self.is_even:
            return rows
        is_new = ops.arange(self.size) >= index * self.size - self.start(index)
        return rows * ops.cast(is_new, rows.dtype)[:, None]

    def join(self, answers):
        """Turn answers `(count, size)` to `(batch, height, width)`."""
        answers = ops.reshape(answers, (-1,))
        if not self.is_even:
            last = (self.count - 1) * self.size
            parts = answers[:last], answers[last + self._repeated() :]
            answers = ops.concatenate(parts)
        return ops.reshape(answers, self.shape)

    def _repeated(self):
        return self.count * self.size - self.positions


def _size(positions, most):
    """Return a divisor near the most allowed, else what repeats the least."""
    for size in range(min(most, positions), most // 2, -1):
        if positions % size == 0:
            return size
    count = -(-positions // most)
    return -(-positions // count)
