"""Optimize a palette for a tokenizer and the masks of a data set.

Colors far apart in RGB are a good start, but a tokenizer does not reconstruct
all colors equally well: some in any shape, some only in whole patches, and
some attract the pixels that it cannot represent. The search estimates these
effects from reconstructions and solves an assignment problem of colors and
classes: robust colors for classes of small or thin objects, and colors that
attract wrong pixels for classes with a large area.
"""

import dataclasses

import keras
import numpy as np

from gss_keras.maskige import palettes
from gss_keras.models.inference import InferenceModel
from gss_keras.models.metrics import confusion_matrix, mean_iou
from gss_keras.models.posterior import LatentPosterior
from gss_keras.ops.backend import argmax

# Minimum distance of two decoded colors, in units of 0-255, to be distinct.
_MIN_DISTANCE = 16.0
# Number of values per RGB channel in the grid of colors to reconstruct.
_LEVELS = 17


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """Result of `search_palette`.

    Attributes:
        palette: Float32 `(num_classes, 3)`, RGB 0-255: the best palette.
        mIoU: Float, its reconstruction mIoU on the given masks, in percent.
        start_mIoU: Float, the mIoU of `palettes.maximal_distance`.
        history: Tuple of floats, the mIoU of each evaluated palette.
        num_colors: Integer, number of distinct colors of the tokenizer.
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
    """Search for the palette with the best reconstruction mIoU.

    Starts from `palettes.maximal_distance`, and returns that if no other
    palette is better. Each round reconstructs all masks with one palette, and
    updates estimates of the errors of each class and color. The first rounds
    explore random assignments of colors to classes; each later palette is the
    optimal assignment according to the estimates. A round costs as much as
    evaluating the masks once; some dozens of masks and 10 rounds are enough.

    Needs SciPy, part of the `data` extra.

    The result is fitted to the given masks. Use those of the training set;
    other masks of the same kind benefit as well.

    Args:
        tokenizer: A `gss_keras.DiscreteVAE`.
        masks: Int array `(count, height, width)`, ids in `[0, num_classes)`
            or 255.
        num_classes: Integer, the number of classes.
        rounds: Integer, number of palettes to evaluate.
        mask_scale: As for `LatentPosterior`.
        batch_size: Number of masks in a batch.
        seed: Integer; the same seed evaluates the same palettes.
        allow_shared_colors: Whether to accept more classes than the tokenizer
            has distinct colors. Some classes are lost then with any palette.

    Returns:
        A `SearchResult`.

    Raises:
        ValueError: If there are more classes than distinct colors, or masks
            are malformed.

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
    evaluate = _Evaluation(posterior, masks, batch_size)
    colors = distinct_colors(tokenizer)
    num_colors = len(colors)
    if num_colors < num_classes and not allow_shared_colors:
        raise ValueError(
            f"`num_classes` must be at most {num_colors}, the number of "
            "distinct colors of this tokenizer. Use a tokenizer with more "
            "colors, or lose some classes with `allow_shared_colors=True`. "
            f"Received: num_classes={num_classes}"
        )
    search = _AssignmentSearch(_candidates(colors, start), num_classes, seed)
    history, best = [], (start, evaluate.confusion(start))
    history.append(mean_iou(best[1]))
    for number in range(rounds):
        assignment = search.next_assignment(is_exploring=number <= rounds // 4)
        palette = search.colors[assignment]
        confusion = evaluate.confusion(palette)
        search.update(assignment, confusion)
        history.append(mean_iou(confusion))
        if history[-1] > mean_iou(best[1]):
            best = palette, confusion
    return SearchResult(
        palette=best[0].astype("float32"),
        mIoU=mean_iou(best[1]),
        start_mIoU=history[0],
        history=tuple(history),
        num_colors=num_colors,
    )


def distinct_colors(tokenizer):
    """Return the distinct colors of a tokenizer's reconstructions.

    Args:
        tokenizer: A `gss_keras.DiscreteVAE`.

    Returns:
        Float32 `(count, 3)`, RGB 0-255: reconstructed colors of uniform
        images, at least 16 apart.
    """
    levels = np.linspace(0, 1, _LEVELS, dtype="float32")
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1)
    grid = grid.reshape(-1, 1, 1, 3)
    side = 3 * tokenizer.stride
    decoded = []
    for start in range(0, len(grid), 512):
        images = grid[start : start + 512].repeat(side, 1).repeat(side, 2)
        images = keras.ops.convert_to_numpy(tokenizer(images))
        decoded.append(images[:, side // 2, side // 2])
    decoded = 255 * np.concatenate(decoded)
    found = []
    for color in np.unique(np.round(decoded, 2), axis=0):
        if not found or _distances(color[None], found).min() >= _MIN_DISTANCE:
            found.append(color)
    return np.array(found, "float32")


class _Evaluation:
    """Evaluate the reconstructions of masks with different palettes."""

    def __init__(self, posterior, masks, batch_size):
        self._posterior = posterior
        self._masks = masks
        self._batch_size = batch_size
        self._inference = InferenceModel(
            posterior, lambda x: argmax(posterior(x))
        )

    def confusion(self, palette):
        """Return the confusion matrix, int64 `(num_classes, num_classes)`."""
        self._posterior.mapping.palette = palette
        count = len(palette)
        predicted = self._inference.predict(
            self._masks, batch_size=self._batch_size, verbose=0
        )
        return confusion_matrix(self._masks, predicted, count)[:, :count]


class _AssignmentSearch:
    """Optimize the assignment of colors to classes over several rounds.

    The IoU of every class in every color is predicted from all evaluations so
    far: the miss rate of a class is modeled as the product of a factor of the
    class and a factor of the color, and the false positives of a class as
    those of its color. The assignment with the largest sum of predicted IoUs
    is the solution of a linear assignment problem.
    """

    def __init__(self, colors, num_classes, seed):
        self.colors = colors
        self._rng = np.random.default_rng(seed)
        self._initial = np.arange(num_classes)
        self._areas = np.zeros(num_classes)
        shape = (num_classes, len(colors))
        # Sums over the evaluations of each pair of class and color.
        self._miss_rates, self._trials = np.zeros(shape), np.zeros(shape)
        self._false_positives = np.zeros(len(colors))

    def update(self, assignment, confusion):
        """Add the confusion matrix of the palette `colors[assignment]`."""
        classes = np.arange(len(assignment))
        hits = np.diag(confusion)
        self._areas = confusion.sum(axis=1)
        miss_rates = 1 - hits / np.maximum(self._areas, 1)
        self._miss_rates[classes, assignment] += miss_rates
        self._trials[classes, assignment] += 1
        self._false_positives[assignment] += confusion.sum(axis=0) - hits

    def next_assignment(self, is_exploring):
        """Return the next assignment to evaluate.

        Args:
            is_exploring: Whether to return a random assignment instead of the
                best one.

        Returns:
            Int `(num_classes,)`, the index of each class's color.
        """
        from scipy.optimize import linear_sum_assignment

        if not self._trials.any():
            return self._initial
        if is_exploring:
            return self._rng.permutation(len(self.colors))[: len(self._initial)]
        miss_rates, false_positives = self._estimates()
        areas = np.maximum(self._areas, 1)[:, None]
        ious = areas * (1 - miss_rates) / (areas + false_positives)
        # Noise, so that no assignment is evaluated twice.
        ious = ious + self._rng.normal(0, 1e-3, ious.shape)
        return linear_sum_assignment(-ious)[1]

    def _estimates(self):
        """Estimate miss rates of all pairs, and false positives of colors."""
        trials_of_color = self._trials.sum(axis=0)
        # Alternating estimation of the two factors. A pseudo-observation
        # shrinks the factors of rarely evaluated colors towards 1.
        of_color = np.ones(len(self.colors))
        for _ in range(10):
            weights = (self._trials * of_color).sum(1)
            of_class = self._miss_rates.sum(1) / np.maximum(weights, 1e-9)
            expected = (self._trials * of_class[:, None]).sum(0)
            prior = max(of_class.mean(), 1e-9)
            of_color = (self._miss_rates.sum(0) + prior) / (expected + prior)
        modeled = of_class[:, None] * of_color
        miss_rates = (self._miss_rates + modeled) / (self._trials + 1)
        false_positives = self._false_positives / np.maximum(trials_of_color, 1)
        return np.clip(miss_rates, 0, 1), false_positives


def _candidates(colors, start):
    """Return candidate colors, of which the first ones are near the start's.

    The first color of each class is matched to its color in the start
    palette. If the tokenizer has fewer colors than there are classes, the
    start's colors that are farthest from all of them are added.

    Args:
        colors: Float `(count, 3)`, distinct colors of the tokenizer.
        start: Float `(num_classes, 3)`, the start palette.

    Returns:
        Float `(at least num_classes, 3)`.
    """
    from scipy.optimize import linear_sum_assignment

    missing = len(start) - len(colors)
    if missing > 0:
        farthest = np.argsort(-_distances(start, colors).min(axis=1))
        colors = np.concatenate([colors, start[farthest[:missing]]])
    nearest = linear_sum_assignment(_distances(start, colors))[1]
    candidates = colors[nearest]
    others = np.delete(colors, nearest, axis=0)
    # A few spare colors are enough: those farthest from all candidates.
    for _ in range(min(len(others), max(8, len(start) // 4))):
        farthest = _distances(others, candidates).min(axis=1).argmax()
        spare = others[farthest : farthest + 1]
        candidates = np.concatenate([candidates, spare])
        others = np.delete(others, farthest, axis=0)
    return candidates


def _distances(one, other):
    offsets = np.asarray(one)[:, None] - np.asarray(other)[None]
    return np.sqrt((offsets**2).sum(axis=-1))
