"""Export settings, validated before any file is written."""

import dataclasses

# A photo of 2048 x 2048. Without windows, the bundled segmenter needs about
# 1 kB of memory per pixel of a request.
MAX_PIXELS = 2**22


@dataclasses.dataclass(frozen=True)
class Settings:
    """Configure the inputs and outputs of an exported model.

    Args:
        outputs: Names of its outputs, see `BaseSegmenter.infer`.
        size: Height and width in pixels that every photo must have; by
            default any.
        window: Height and width in pixels of sliding windows, None for whole
            photos.
        stride: Vertical and horizontal distance of the windows.
        max_pixels: Limit of pixels per request, `batch * height * width`,
            which bounds the server's memory; None for no limit.
        warmup_sizes: Heights and widths of the photos of warmup requests for
            TensorFlow Serving.
        max_batch_size: Limit of photos per batch if TensorFlow Serving
            batches concurrent requests; None for no batching.

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
                    "`max_pixels` must be at least the pixels of a batch, "
                    f"{pixels}. Received: "
                    f"max_pixels={self.max_pixels}, size={tuple(size)}, "
                    f"max_batch_size={self.max_batch_size}"
                )
        if self.size and any(
            tuple(size) != tuple(self.size) for size in self.warmup_sizes
        ):
            raise ValueError(
                "`warmup_sizes` must equal `size` if that is given: other "
                "photos are rejected. Received: "
                f"warmup_sizes={self.warmup_sizes}, size={self.size}"
            )
        if self.max_batch_size and not self.size:
            raise ValueError(
                "`max_batch_size` needs a `size`: TensorFlow Serving batches "
                "requests regardless of their sizes, and fails all of them if "
                "these differ. "
                f"Received: max_batch_size={self.max_batch_size}, size=None"
            )

    @property
    def input_shape(self):
        """Shape of the input, None where any size is accepted."""
        return (None, *(self.size or (None, None)), 3)


def _is_size(number):
    return isinstance(number, int) and number > 0
