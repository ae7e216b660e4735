"""Joint transforms of a photo and its mask: augmentation and padding."""

import dataclasses

import numpy as np

from gss_keras.constants import IGNORE_LABEL
from gss_keras.data.color_jitter import ColorJitter

# The ImageNet mean, which a model normalizes to 0.
_PHOTO_FILL = (124, 116, 104)
_MAX_RETRIES = 10


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Apply random scale, crop, flip and color jitter to a photo and its mask.

    Photo and mask stay aligned pixel by pixel. In order: random scale (photo
    bilinear, mask nearest), random crop in which no class may exceed a
    fraction of the labeled pixels (retried up to 10 times), random horizontal
    flip, color jitter on the photo, and padding at the bottom and the right
    if the scaled photo is smaller than the crop (photo: ImageNet mean color;
    mask: 255). Scale and crop are one resampling step, so only pixels inside
    the crop are interpolated, and only once.

    Args:
        crop: Height and width of the output.
        scale_range: Minimum and maximum of the uniformly drawn scale.
        flip: Whether to mirror photos with probability 0.5.
        color_jitter: A `ColorJitter`, or `None` to keep the colors.
        max_class_fraction: Maximum fraction of the labeled pixels of a crop
            that one class may cover; 1 disables the limit.
        balance: Probability of centering a crop on a pixel of a class drawn
            uniformly among the classes of the photo, which oversamples rare
            and small classes.
        fit: `None`, or a maximum of the longer and of the shorter side:
            `scale_range` is then relative to the largest size within both,
            see `fit_scale`, so that objects have a similar scale in photos of
            all sizes. The published training runs use `(2048, 512)` for
            ADE20K and MSeg and `(2049, 1025)` for Cityscapes.

    Raises:
        ValueError: If an argument is out of range. When called, if photo or
            mask has the wrong shape or dtype.

    Reference:
        The training augmentation of the release. The release interpolates
        without antialiasing; Pillow antialiases when it downscales. Class
        fractions are computed on every second pixel. `balance` is ours.

    Example:
        >>> import numpy as np
        >>> augmentation = Augmentation(crop=(32, 48))
        >>> photo = np.zeros((60, 80, 3), "uint8")
        >>> mask = np.zeros((60, 80), "int32")
        >>> photo, mask = augmentation(photo, mask, np.random.default_rng(0))
        >>> photo.shape, mask.shape
        ((32, 48, 3), (32, 48))
    """

    crop: tuple
    scale_range: tuple = (0.5, 2.0)
    flip: bool = True
    color_jitter: ColorJitter | None = ColorJitter()
    max_class_fraction: float = 0.75
    balance: float = 0.0
    fit: tuple | None = None

    def __post_init__(self):
        """Check the arguments."""
        _check_size("crop", self.crop)
        if self.fit is not None:
            _check_size(
                "fit", self.fit, "maxima of the longer and shorter side"
            )
        lowest, highest = self.scale_range
        if not 0 < lowest <= highest:
            raise ValueError(
                "`scale_range` must be a minimum and a maximum scale, both "
                f"above 0. Received: scale_range={self.scale_range}"
            )
        for argument in ("max_class_fraction", "balance"):
            if not 0 <= getattr(self, argument) <= 1:
                raise ValueError(
                    f"`{argument}` must be between 0 and 1. "
                    f"Received: {argument}={getattr(self, argument)}"
                )
        if not (self.color_jitter is None or callable(self.color_jitter)):
            raise ValueError(
                "`color_jitter` must be a `ColorJitter` or `None`. "
                f"Received: color_jitter={self.color_jitter!r}"
            )

    def __call__(self, photo, mask, generator):
        """Augment one photo and its mask.

        Args:
            photo: uint8 array `(height, width, 3)`, 0-255 RGB.
            mask: Int array `(height, width)`, class ids or 255.
            generator: `numpy.random.Generator`.

        Returns:
            A pair: photo, uint8 `(*crop, 3)`, and mask, int32 `crop`.
        """
        _check_pair(photo, mask)
        scale = generator.uniform(*self.scale_range)
        if self.fit is not None:
            scale *= fit_scale(mask.shape, self.fit)
        window = self._draw_window(mask, scale, generator)
        photo, mask = _scale_window(photo, mask, window)
        if self.flip and generator.random() < 0.5:
            photo, mask = photo[:, ::-1], mask[:, ::-1]
        if self.color_jitter is not None:
            photo = self.color_jitter(photo, generator)
        return _pad(photo, mask, self.crop)

    def _draw_window(self, mask, scale, generator):
        """Draw the crop window in the photo and its size after scaling."""
        scaled = np.maximum(1, np.rint(np.array(mask.shape) * scale))
        scale = scaled / mask.shape
        size = np.minimum(self.crop, scaled)
        is_balanced = generator.random() < self.balance
        for _ in range(1 + _MAX_RETRIES):
            if is_balanced:
                center = _draw_balanced_pixel(mask, generator)
                start = np.rint((center + 0.5) * scale - size / 2)
                start = np.clip(start, 0, scaled - size)
            else:
                start = generator.integers(scaled - size + 1)
            window = _Window(start / scale, (start + size) / scale, size)
            if window.max_class_fraction(mask) <= self.max_class_fraction:
                break
        return window


@dataclasses.dataclass(frozen=True)
class Padding:
    """Pad photo and mask to a fixed size, so that they can be batched.

    For evaluation: the padding is at the bottom and the right, and its mask
    is 255, so every loss and metric ignores it.

    Args:
        size: Height and width of the output.

    Raises:
        ValueError: If `size` is not two positive ints. When called, if the
            photo is larger.

    Example:
        >>> import numpy as np
        >>> photo = np.zeros((3, 4, 3), "uint8")
        >>> photo, mask = Padding((4, 4))(photo, np.zeros((3, 4), "int32"))
        >>> mask[:, 0].tolist()
        [0, 0, 0, 255]
    """

    size: tuple

    def __post_init__(self):
        """Check the arguments."""
        _check_size("size", self.size)

    def __call__(self, photo, mask, generator=None):  # noqa: ARG002
        """Pad one photo and its mask.

        Args:
            photo: uint8 array `(height, width, 3)`, 0-255 RGB.
            mask: Int array `(height, width)`, class ids or 255.
            generator: Unused; accepted for the signature of an augmentation.

        Returns:
            A pair: photo, uint8 `(*size, 3)`, and mask, int32 `size`.
        """
        _check_pair(photo, mask)
        if mask.shape[0] > self.size[0] or mask.shape[1] > self.size[1]:
            raise ValueError(
                "`size` must be at least as large as every photo, but a photo "
                f"has size {mask.shape}. Received: size={self.size}"
            )
        return _pad(photo, mask, self.size)


def fit_scale(shape, fit):
    """Return the largest scale at which a photo fits two side limits.

    The longer side of the scaled photo is at most `max(fit)`, the shorter one
    at most `min(fit)`, and one of the two is equal to its limit. The aspect
    ratio is preserved.

    Args:
        shape: Height and width of the photo in pixels.
        fit: Maximum of the longer and of the shorter side in pixels, in any
            order.

    Returns:
        The scale, a float.

    Reference:
        The rule by which the release resizes ADE20K and MSeg to 2048 x 512,
        in training and evaluation.

    Example:
        >>> fit_scale((1024, 768), (2048, 512)), fit_scale((64, 512), (256, 64))
        (0.6666666666666666, 0.5)
    """
    return min(max(fit) / max(shape), min(fit) / min(shape))


@dataclasses.dataclass(frozen=True)
class _Window:
    """A crop window from `start` to `end` in pixels, resized to `size`."""

    start: np.ndarray
    end: np.ndarray
    size: np.ndarray

    def max_class_fraction(self, mask):
        """Return the fraction of labeled pixels of the most frequent class.

        It is 1 without labeled pixels: such a crop has no training signal.
        """
        top, left = self.start.astype(int)
        bottom, right = np.ceil(self.end).astype(int)
        ids = mask[top:bottom:2, left:right:2].ravel()
        counts = np.bincount(ids, minlength=IGNORE_LABEL + 1)[:IGNORE_LABEL]
        return counts.max() / counts.sum() if counts.any() else 1.0


def _draw_balanced_pixel(mask, generator):
    """Draw a class of the mask, then one of its pixels: (row, column)."""
    counts = np.bincount(mask.ravel(), minlength=IGNORE_LABEL + 1)
    classes = np.flatnonzero(counts[:IGNORE_LABEL])
    if not classes.size:
        return generator.integers(mask.shape)
    pixels = np.flatnonzero(mask == generator.choice(classes))
    return np.array(divmod(generator.choice(pixels), mask.shape[1]))


def _scale_window(photo, mask, window):
    """Crop and resize a photo (bilinear) and its mask (nearest)."""
    from PIL import Image

    box = (*window.start[::-1], *window.end[::-1])
    size = tuple(int(side) for side in window.size[::-1])
    photo = Image.fromarray(photo).resize(size, Image.BILINEAR, box)
    mask = Image.fromarray(mask.astype("uint8"))
    mask = mask.resize(size, Image.NEAREST, box)
    return np.asarray(photo), np.asarray(mask)


def _pad(photo, mask, size):
    """Pad a photo and its mask at the bottom and the right."""
    height, width = mask.shape
    if (height, width) == tuple(size):
        return np.ascontiguousarray(photo), mask.astype("int32")
    padded_photo = np.empty((*size, 3), "uint8")
    padded_photo[...] = _PHOTO_FILL
    padded_photo[:height, :width] = photo
    padded_mask = np.full(size, IGNORE_LABEL, "int32")
    padded_mask[:height, :width] = mask
    return padded_photo, padded_mask


def _check_size(argument, size, meaning="a height and a width"):
    """Raise ValueError unless a size is a pair of positive ints."""
    is_size = isinstance(size, tuple | list) and len(size) == 2
    if not is_size or not all(
        isinstance(side, int) and side > 0 for side in size
    ):
        raise ValueError(
            f"`{argument}` must be {meaning}, positive ints. "
            f"Received: {argument}={size!r}"
        )


def _check_pair(photo, mask):
    """Raise ValueError unless photo and mask have matching shapes."""
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
        raise ValueError(
            "`photo` must be a uint8 array `(height, width, 3)`. "
            f"Received: shape {photo.shape}, dtype {photo.dtype}"
        )
    if mask.dtype.kind not in "iu" or mask.shape != photo.shape[:2]:
        raise ValueError(
            "`mask` must be an int array with the height and width of its "
            f"photo, {photo.shape[:2]}. "
            f"Received: shape {mask.shape}, dtype {mask.dtype}"
        )
    if not photo.size:
        raise ValueError(
            f"`photo` must not be empty. Received: shape {photo.shape}"
        )
