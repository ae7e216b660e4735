"""Test-time augmentation: average predictions over scales and flips."""

import dataclasses

import numpy as np
from keras import ops

from gss_keras.data.transforms import fit_scale
from gss_keras.ops.backend import argmax, resize_bilinear

# Maximum number of elements of a strip of resized scores, 64 MB. The scores of
# a large photo with many classes would take gigabytes as a whole.
_MAX_ELEMENTS = 2**24


@dataclasses.dataclass(frozen=True)
class Views:
    """Configure test-time augmentation by rescaling and horizontal flips.

    Each rescaled or flipped copy of a photo is a view. Every view is scored
    independently, its class logits are flipped and resized back to the photo,
    and the class probabilities are averaged over the views. With a single
    view, the logits are used directly.

    Args:
        fit: Maximum longest and shortest side in pixels. The photo is rescaled
            to fit, preserving its aspect ratio; by default its size is kept.
        scales: Factors of height and width, applied after `fit`.
        flip: Whether to add the horizontally flipped view at each scale.

    Raises:
        ValueError: If `fit` is not a pair of positive ints, or `scales` are
            not positive numbers.

    Reference:
        The order of mmsegmentation's test-time augmentation. The published
        scores use neither `scales` nor `flip`; on ADE20K and MSeg, photos are
        rescaled to fit in 2048 x 512 pixels.

    Example:
        >>> views = Views(fit=(2048, 512), scales=(0.5, 1.0), flip=True)
        >>> len(views), views.sizes(256, 384)
        (4, [(256, 384), (512, 768)])
    """

    fit: tuple[int, int] | None = None
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False

    def __post_init__(self):
        if self.fit is not None and (
            len(self.fit) != 2
            or not all(isinstance(s, int) and s > 0 for s in self.fit)
        ):
            raise ValueError(
                "`fit` must be two positive ints, the maximum longest and "
                f"shortest side. Received: fit={self.fit!r}"
            )
        if not self.scales or not all(0 < s < np.inf for s in self.scales):
            raise ValueError(
                "`scales` must be positive numbers, and at least one. "
                f"Received: scales={self.scales!r}"
            )

    def __len__(self):
        """Return the number of views."""
        return len(self.scales) * (2 if self.flip else 1)

    def sizes(self, height, width):
        """Return the sizes of a photo's views, a pair for each scale."""
        factor = fit_scale((height, width), self.fit) if self.fit else 1.0
        return [
            tuple(
                max(1, int(side * factor * scale + 0.5))
                for side in (height, width)
            )
            for scale in self.scales
        ]

    def predict_mask(self, score, photo, map_probabilities=None):
        """Segment one photo.

        Peak memory is that of the averaged probabilities and the scores of one
        view; with a single view, only that of its scores.

        Args:
            score: Function from a photo `(h, w, 3)` to an array of class
                logits `(h, w, num_classes)`.
            photo: Array of shape `(height, width, 3)`, raw RGB 0-255.
            map_probabilities: Function that maps class probabilities, a
                float32 tensor `(rows, width, num_classes)`, to those of other
                classes, `(rows, width, other_classes)`.

        Returns:
            Int32 mask of shape `(height, width)`, the most probable classes.
        """
        photo = np.asarray(photo)
        height, width = photo.shape[:2]
        mask = np.empty((height, width), "int32")
        if len(self) == 1:
            whole = next(self._score_views(score, photo))
        else:
            whole = self._mean_probabilities(score, photo)
        for rows, scores in _resized_strips(whole, height, width):
            if map_probabilities:
                if len(self) == 1:
                    scores = ops.softmax(scores)
                scores = map_probabilities(scores)
            mask[rows] = ops.convert_to_numpy(argmax(scores))
        return mask

    def _mean_probabilities(self, score, photo):
        """Return the mean class probabilities, `(height, width, classes)`."""
        height, width = photo.shape[:2]
        total = None
        for logits in self._score_views(score, photo):
            if total is None:
                shape = (height, width, logits.shape[-1])
                total = np.zeros(shape, "float32")
            for rows, scores in _resized_strips(logits, height, width):
                total[rows] += ops.convert_to_numpy(ops.softmax(scores))
            # Free them before the next view is scored.
            del logits, scores
        total /= len(self)
        return total

    def _score_views(self, score, photo):
        """Yield the logits of each view, those of flipped ones flipped back."""
        for size in self.sizes(*photo.shape[:2]):
            view = _resize_photo(photo, size)
            yield score(view)
            if self.flip:
                yield score(np.ascontiguousarray(view[:, ::-1]))[:, ::-1]


def _resize_photo(photo, size):
    """Resize a photo bilinearly; uint8 photos are rounded to uint8."""
    if size == photo.shape[:2]:
        return photo
    resized = ops.convert_to_tensor(photo[None].astype("float32"))
    resized = ops.convert_to_numpy(resize_bilinear(resized, *size))[0]
    if photo.dtype == np.uint8:
        resized = resized.round()
    return np.clip(resized, 0, 255).astype(photo.dtype)


def _resized_strips(scores, height, width):
    """Resize scores bilinearly to a photo's size, in strips of rows.

    Args:
        scores: Float array of shape `(h, w, num_classes)`.
        height: Height of the photo in pixels.
        width: Width of the photo in pixels.

    Yields:
        Pairs: the slice of the photo's rows, and a float32 tensor `(rows,
        width, num_classes)`.
    """
    in_height, in_width, num_classes = scores.shape
    step = max(1, _MAX_ELEMENTS // (max(width, in_width) * num_classes))
    for start in range(0, height, step):
        rows = slice(start, min(start + step, height))
        if (in_height, in_width) == (height, width):
            yield rows, _as_tensor(scores[rows])
            continue
        # Bilinear resizing is separable: rows are interpolated here, which
        # reads only the rows that the strip needs, and columns by the backend.
        centers = np.arange(rows.start, rows.stop) + 0.5
        centers = np.clip(centers * in_height / height - 0.5, 0, in_height - 1)
        upper = centers.astype(int)
        lower = np.minimum(upper + 1, in_height - 1)
        source = _as_tensor(scores[upper[0] : lower[-1] + 1])
        weights = _as_tensor((centers - upper)[:, None, None])
        strip = (1 - weights) * ops.take(source, upper - upper[0], axis=0)
        strip += weights * ops.take(source, lower - upper[0], axis=0)
        yield rows, resize_bilinear(strip[None], len(upper), width)[0]


def _as_tensor(array):
    # Flipped arrays have negative strides, which PyTorch does not support.
    return ops.convert_to_tensor(np.ascontiguousarray(array, "float32"))
