"""Look at a photo in several sizes and mirrored, and average what is seen."""

import dataclasses

import numpy as np
from keras import ops

from gss_keras.data.transforms import fit_scale
from gss_keras.ops.backend import argmax, resize_bilinear

# Scores of a photo are resized in bands of rows of at most so many numbers,
# 64 MB: those of a large photo with many classes would fill gigabytes.
_BAND = 2**24


@dataclasses.dataclass(frozen=True)
class Views:
    """Says in which copies of itself a photo is scored.

    Each copy, a view, is scored for itself, its class logits are brought back
    to the photo's size and place, and the probabilities are averaged over the
    views. A single view needs no average and its logits are taken as they
    are.

    Args:
        fit: Longest and shortest side in pixels that the photo is scaled to
            fit in, keeping its ratio; by default it stays as it is.
        scales: Factors of height and width, on top of `fit`.
        flip: Whether each view is also scored mirrored left to right.

    Raises:
        ValueError: If `fit` is no pair of positive ints, or `scales` are no
            positive numbers.

    Reference:
        The order of mmsegmentation's test-time augmentation. The published
        scores use neither `scales` nor `flip`; those of ADE20K and MSeg fit
        photos in 2048 x 512 first.

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
                "`fit` must be two positive ints, the longest and the "
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
        """Return the height and width of a photo at each scale, as pairs."""
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

        Never more than the photo's averaged scores and those of one view are
        held at a time, and of a single view no more than its own.

        Args:
            score: Function from a photo `(h, w, 3)` to an array of class
                logits `(h, w, num_classes)`.
            photo: Array of shape `(height, width, 3)`, raw RGB 0-255.
            map_probabilities: Function from class probabilities, a float32
                tensor `(rows, width, num_classes)`, to those of other
                classes, `(rows, width, other_classes)`.

        Returns:
            Int32 mask of shape `(height, width)`, the likeliest classes.
        """
        photo = np.asarray(photo)
        height, width = photo.shape[:2]
        mask = np.empty((height, width), "int32")
        if len(self) == 1:
            bands = _bands(next(self._scored(score, photo)), height, width)
        else:
            bands = _bands(self._average(score, photo), height, width)
        for rows, scores in bands:
            if map_probabilities:
                if len(self) == 1:
                    scores = ops.softmax(scores)
                scores = map_probabilities(scores)
            mask[rows] = ops.convert_to_numpy(argmax(scores))
        return mask

    def _average(self, score, photo):
        """Return the mean class probabilities, `(height, width, classes)`."""
        height, width = photo.shape[:2]
        total = None
        for logits in self._scored(score, photo):
            if total is None:
                shape = (height, width, logits.shape[-1])
                total = np.zeros(shape, "float32")
            for rows, scores in _bands(logits, height, width):
                total[rows] += ops.convert_to_numpy(ops.softmax(scores))
            # Or they would be held while the next view is scored.
            del logits, scores
        total /= len(self)
        return total

    def _scored(self, score, photo):
        """Yield the logits of each view, turned back where it is mirrored."""
        for size in self.sizes(*photo.shape[:2]):
            view = _resize_photo(photo, size)
            yield score(view)
            if self.flip:
                yield score(np.ascontiguousarray(view[:, ::-1]))[:, ::-1]


def _resize_photo(photo, size):
    """Resize a photo bilinearly; bytes are rounded to bytes."""
    if size == photo.shape[:2]:
        return photo
    resized = ops.convert_to_tensor(photo[None].astype("float32"))
    resized = ops.convert_to_numpy(resize_bilinear(resized, *size))[0]
    if photo.dtype == np.uint8:
        resized = resized.round()
    return np.clip(resized, 0, 255).astype(photo.dtype)


def _bands(scores, height, width):
    """Yield scores resized bilinearly to a photo's size, band by band.

    Args:
        scores: Float array of shape `(h, w, num_classes)`.
        height: Height of the photo in pixels.
        width: Width of the photo in pixels.

    Yields:
        Pairs: the slice of the photo's rows, and a float32 tensor `(rows,
        width, num_classes)`.
    """
    high, wide, num_classes = scores.shape
    step = max(1, _BAND // (max(width, wide) * num_classes))
    for start in range(0, height, step):
        rows = slice(start, min(start + step, height))
        if (high, wide) == (height, width):
            yield rows, _as_tensor(scores[rows])
            continue
        # Rows are mixed here, from those few that the band needs, and columns
        # by the backend: together they are its bilinear resizing.
        centers = np.arange(rows.start, rows.stop) + 0.5
        centers = np.clip(centers * high / height - 0.5, 0, high - 1)
        upper = centers.astype(int)
        lower = np.minimum(upper + 1, high - 1)
        part = _as_tensor(scores[upper[0] : lower[-1] + 1])
        weights = _as_tensor((centers - upper)[:, None, None])
        mixed = (1 - weights) * ops.take(part, upper - upper[0], axis=0)
        mixed += weights * ops.take(part, lower - upper[0], axis=0)
        yield rows, resize_bilinear(mixed[None], len(upper), width)[0]


def _as_tensor(array):
    # Mirrored arrays run backwards through memory, which PyTorch refuses.
    return ops.convert_to_tensor(np.ascontiguousarray(array, "float32"))
