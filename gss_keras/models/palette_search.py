"""Looks for the colors that survive one tokenizer and its label maps.

Colors far apart in RGB are a good guess, but a tokenizer has colors of its
own: those it paints in any shape, those it paints only in squares, and those
that it gives to pixels it cannot express. The search finds out which is which
by sending label maps through, and deals the colors out anew: robust ones to
classes of thin and small things, those that gather wrong pixels to classes
that are large enough not to feel them.
"""

import dataclasses

import keras
import numpy as np

from gss_keras.maskige import palettes
from gss_keras.models.inference import InferenceModel
from gss_keras.models.metrics import confusion_matrix, mean_iou
from gss_keras.models.posterior import LatentPosterior
from gss_keras.ops.backend import argmax

# Two decoded colors closer than this, in 0-255, count as one.
_SAME = 16.0
# Levels of red, green and blue of the colors that a tokenizer is asked for.
_PROBES = 17


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        palette: Float32 `(num_classes, 3)`, RGB 0-255: the best palette.
        mIoU: Float, its reconstruction mIoU on the given masks, in percent.
        start_mIoU: Float, the same of `palettes.maximal_distance`.
        history: Tuple of floats, the mIoU of each palette that was tried.
        num_colors: Integer, how many colors the tokenizer tells apart.
    """

    palette: np.ndarray
    mIoU: float  # noqa: N815, the score's name
    start_mIoU: float  # noqa: N815
    history: tuple[float, ...]
    num_colors: int


def search_palette(
    tokenizer,
    masks,
    num_classes,
    rounds=10,
    mask_scale=None,
    batch_size=4,
    seed=0,
    allow_shared_colors=False,
):
    """Searches for the palette whose masks a tokenizer gives back best.

    Starts from `palettes.maximal_distance` and returns that if nothing beats
    it. Each round sends all masks through tokens and back with one palette,
    and learns from it how many pixels each class loses and each color
    attracts. The next palette is the best assignment of colors to classes by
    what is known so far. A round costs as much as evaluating the masks once;
    some dozens of masks and 10 rounds are enough.

    Needs SciPy, part of the `data` extra.

    The result is fitted to the classes of the given masks: use those of a
    training set, and expect what it does for others of the same kind.

    Args:
        tokenizer: A `gss_keras.DiscreteVAE`.
        masks: Int array `(count, height, width)`, ids in `[0, num_classes)`
            or 255.
        num_classes: Integer, the number of classes.
        rounds: Integer, how many palettes are tried.
        mask_scale: As for `LatentPosterior`.
        batch_size: How many masks are sent through at a time.
        seed: Integer; the same seed tries the same palettes.
        allow_shared_colors: Whether more classes than the tokenizer has
            colors are accepted. Some are lost then, whatever the palette.

    Returns:
        A `SearchResult`.

    Raises:
        ValueError: If there are more classes than colors that the tokenizer
            tells apart, or masks are malformed.

    Example:
        >>> import gss_keras
        >>> tokenizer = gss_keras.DiscreteVAE.from_preset("maskige")
        >>> masks = np.eye(32, dtype="int32")[None].repeat(2, axis=1)
        >>> search_palette(tokenizer, masks, 2, rounds=2).palette.shape
        (2, 3)
    """
    start = palettes.maximal_distance(num_classes, seed)
    posterior = LatentPosterior(
        start, tokenizer, mask_scale=mask_scale, is_palette_learned=True
    )
    posterior.check_data(masks)
    reconstruction = _Reconstruction(posterior, masks, batch_size)
    colors = distinct_colors(tokenizer)
    num_colors = len(colors)
    if num_colors < num_classes and not allow_shared_colors:
        raise ValueError(
            f"`num_classes` must be at most {num_colors}, the number of "
            "colors that this tokenizer tells apart. Take a tokenizer with "
            "more colors, or lose some classes with "
            f"`allow_shared_colors=True`. Received: num_classes={num_classes}"
        )
    ledger = _Ledger(_as_slots(colors, start), num_classes, seed)
    history, best = [], (start, reconstruction.counts(start))
    history.append(mean_iou(best[1]))
    for number in range(rounds):
        slots = ledger.next_slots(is_exploring=number <= rounds // 4)
        palette = ledger.colors[slots]
        counts = reconstruction.counts(palette)
        ledger.enter(slots, counts)
        history.append(mean_iou(counts))
        if history[-1] > mean_iou(best[1]):
            best = palette, counts
    return SearchResult(
        palette=best[0].astype("float32"),
        mIoU=mean_iou(best[1]),
        start_mIoU=history[0],
        history=tuple(history),
        num_colors=num_colors,
    )


def distinct_colors(tokenizer):
    """Lists the colors in which a tokenizer paints plain areas.

    Args:
        tokenizer: A `gss_keras.DiscreteVAE`.

    Returns:
        Float32 `(count, 3)`, RGB 0-255, at least 16 apart, each as the
        tokenizer gives it back.
    """
    levels = np.linspace(0, 1, _PROBES, dtype="float32")
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1)
    probes = grid.reshape(-1, 1, 1, 3)
    side = 3 * tokenizer.stride
    decoded = []
    for start in range(0, len(probes), 512):
        areas = probes[start : start + 512].repeat(side, 1).repeat(side, 2)
        areas = keras.ops.convert_to_numpy(tokenizer(areas))
        decoded.append(areas[:, side // 2, side // 2])
    decoded = 255 * np.concatenate(decoded)
    found = []
    for color in np.unique(np.round(decoded, 2), axis=0):
        if not found or _distances(color[None], found).min() >= _SAME:
            found.append(color)
    return np.array(found, "float32")


class _Reconstruction:
    """Counts what becomes of masks when they are painted with a palette."""

    def __init__(self, posterior, masks, batch_size):
        self._posterior = posterior
        self._masks = masks
        self._batch_size = batch_size
        self._inference = InferenceModel(
            posterior, lambda x: argmax(posterior(x))
        )

    def counts(self, palette):
        """Returns int64 `(num_classes, num_classes)`: true, answered."""
        self._posterior.mapping.palette = palette
        count = len(palette)
        answers = self._inference.predict(
            self._masks, batch_size=self._batch_size, verbose=0
        )
        return confusion_matrix(self._masks, answers, count)[:, :count]


class _Ledger:
    """What is known of classes and colors, and the assignment it suggests.

    Three numbers are estimated, from all palettes tried so far: how much of a
    class is lost in an average color, how much more or less than that a color
    loses, and how many wrong pixels it attracts.
    """

    def __init__(self, colors, num_classes, seed):
        self.colors = colors
        self._rng = np.random.default_rng(seed)
        self._first = np.arange(num_classes)
        self._areas = np.zeros(num_classes)
        shape = (num_classes, len(colors))
        self._lost, self._tries = np.zeros(shape), np.zeros(shape)
        self._attracted = np.zeros(len(colors))

    def enter(self, slots, counts):
        """Adds what became of the masks with `colors[slots]`."""
        classes = np.arange(len(slots))
        hits = np.diag(counts)
        self._areas = counts.sum(axis=1)
        lost = 1 - hits / np.maximum(self._areas, 1)
        self._lost[classes, slots] += lost
        self._tries[classes, slots] += 1
        self._attracted[slots] += counts.sum(axis=0) - hits

    def next_slots(self, is_exploring):
        """Returns int `(num_classes,)`, the color of each class to try."""
        from scipy.optimize import linear_sum_assignment

        if not self._tries.any():
            return self._first
        if is_exploring:
            return self._rng.permutation(len(self.colors))[: len(self._first)]
        lost, attracted = self._estimates()
        areas = np.maximum(self._areas, 1)[:, None]
        ious = areas * (1 - lost) / (areas + attracted)
        # A touch of chance, so that no assignment is tried twice.
        ious = ious + self._rng.normal(0, 1e-3, ious.shape)
        return linear_sum_assignment(-ious)[1]

    def _estimates(self):
        tries_of_color = self._tries.sum(axis=0)
        # One imagined try of an average color steadies what is seldom tried.
        factors = np.ones(len(self.colors))
        for _ in range(10):
            weights = self._tries * factors
            fragility = self._lost.sum(1) / np.maximum(weights.sum(1), 1e-9)
            expected = (self._tries * fragility[:, None]).sum(0)
            prior = max(fragility.mean(), 1e-9)
            factors = (self._lost.sum(0) + prior) / (expected + prior)
        modelled = fragility[:, None] * factors
        lost = (self._lost + modelled) / (self._tries + 1)
        attracted = self._attracted / np.maximum(tries_of_color, 1)
        return np.clip(lost, 0, 1), attracted


def _as_slots(colors, start):
    """Orders the colors: those nearest to the start's first, one for each.

    Where there are fewer colors than classes, the start's own colors that
    are furthest from all others fill up.
    """
    from scipy.optimize import linear_sum_assignment

    missing = len(start) - len(colors)
    if missing > 0:
        farthest = np.argsort(-_distances(start, colors).min(axis=1))
        colors = np.concatenate([colors, start[farthest[:missing]]])
    nearest = linear_sum_assignment(_distances(start, colors))[1]
    chosen = colors[nearest]
    others = np.delete(colors, nearest, axis=0)
    # Some spare colors are enough to choose from, the loneliest first.
    for _ in range(min(len(others), max(8, len(start) // 4))):
        loneliest = _distances(others, chosen).min(axis=1).argmax()
        chosen = np.concatenate([chosen, others[loneliest : loneliest + 1]])
        others = np.delete(others, loneliest, axis=0)
    return chosen


def _distances(one, other):
    offsets = np.asarray(one)[:, None] - np.asarray(other)[None]
    return np.sqrt((offsets**2).sum(axis=-1))
