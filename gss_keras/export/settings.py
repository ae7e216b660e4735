"""What an export is asked for, checked before anything is written."""

import dataclasses

# A photo of 2048 x 2048. Unless it is scored in windows, the bundled
# segmenter takes about 1 kB for each pixel of a request.
MAX_PIXELS = 2**22


@dataclasses.dataclass(frozen=True)
class Settings:
    """Says what an exported model takes and answers.

    Args:
        outputs: Names of what it answers, see
            `gss_keras.export.answers.answer`.
        size: Height and width in pixels that every photo must have; by
            default any.
        window: Height and width in pixels of the windows that photos are
            scored in, None for whole.
        stride: Distance of the windows downwards and sideways.
        max_pixels: Most pixels of one request, `batch * height * width`, so
            that nobody fills the server's memory; None for no limit.
        warmup_sizes: Heights and widths of the photos that TensorFlow Serving
            tries out before it answers anybody.
        max_batch_size: Most photos that TensorFlow Serving may answer
            together, where requests meet; None where it shall not wait for
            others.

    Raises:
        ValueError: If one of them is malformed or they contradict each other.

    Example:
        >>> Settings(size=(360, 480), max_batch_size=8).outputs
        ('masks', 'confidence')
    """

    outputs: tuple[str, ...] = ("masks", "confidence")
    size: tuple[int, int] | None = None
    window: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None
    max_pixels: int | None = MAX_PIXELS
    warmup_sizes: tuple[tuple[int, int], ...] = ()
    max_batch_size: int | None = None

    def __post_init__(self):
        for name in ("outputs", "warmup_sizes"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("max_pixels", "max_batch_size"):
            number = getattr(self, name)
            if number is not None and not _is_size(number):
                raise ValueError(
                    f"`{name}` must be a positive int or None. "
                    f"Received: {name}={number!r}"
                )
        self._check_sizes()

    def _check_sizes(self):
        sizes = [*self.warmup_sizes, *([self.size] if self.size else [])]
        photos = self.max_batch_size or 1
        for size in sizes:
            if not (
                isinstance(size, tuple | list)
                and len(size) == 2
                and all(map(_is_size, size))
            ):
                raise ValueError(
                    "`size` and each of `warmup_sizes` must be two positive "
                    f"ints, height and width. Received: {size!r}"
                )
            pixels = photos * size[0] * size[1]
            if self.max_pixels and pixels > self.max_pixels:
                raise ValueError(
                    "`max_pixels` must allow for the photos that are to be "
                    f"answered together, {pixels} pixels. Received: "
                    f"max_pixels={self.max_pixels}, size={tuple(size)}, "
                    f"max_batch_size={self.max_batch_size}"
                )
        if self.size and any(
            tuple(size) != tuple(self.size) for size in self.warmup_sizes
        ):
            raise ValueError(
                "`warmup_sizes` must be `size` where that is given, since no "
                "other photo is taken. Received: "
                f"warmup_sizes={self.warmup_sizes}, size={self.size}"
            )
        if self.max_batch_size and not self.size:
            raise ValueError(
                "`max_batch_size` needs a `size`: TensorFlow Serving puts "
                "requests together without looking at their sizes, and fails "
                "all of them where these differ. "
                f"Received: max_batch_size={self.max_batch_size}, size=None"
            )

    @property
    def input_shape(self):
        """Shape of the photos that are taken, None where any size is."""
        return (None, *(self.size or (None, None)), 3)


def _is_size(number):
    return isinstance(number, int) and number > 0
