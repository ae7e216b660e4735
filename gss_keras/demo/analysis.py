"""Segment one photo step by step, with intermediate results and times."""

import dataclasses
import math
import time

import keras
import numpy as np

from gss_keras.models.inference import InferenceModel

# Context around a token whose decoded patch is shown: as many tokens to each
# side as the receptive field of the bundled tokenizer's decoder.
_CONTEXT = 3
_STEPS = ("prior", "decoder", "inverse")


@dataclasses.dataclass(frozen=True, eq=False)
class Analysis:
    """Intermediate and final results of segmenting a photo.

    Attributes:
        tokens: Int32 array `(rows, columns)`, the most probable tokens.
        token_probability: Float32 array `(rows, columns)` in [0, 1], their
            softmax probabilities.
        maskige: Uint8 array `(height, width, 3)`, RGB 0-255, as decoded.
        mask: Int32 array `(height, width)` of class ids.
        confidence: Float32 array `(height, width)` in [0, 1], the probability
            of the class in the mask, see `BaseSegmenter.infer`.
        seconds: Dict of the wall-clock times of "prior", "decoder" and
            "inverse".
        has_compiled: Whether the times include compilation for a photo of a
            new size.
    """

    tokens: np.ndarray
    token_probability: np.ndarray
    maskige: np.ndarray
    mask: np.ndarray
    confidence: np.ndarray
    seconds: dict
    has_compiled: bool


class Analyzer:
    """Segment photos as `segmenter.predict` does, exposing every step.

    Args:
        segmenter: A `GenerativeSegmenter`. Photos are segmented as a whole,
            even if it has a window.

    Example:
        >>> import numpy as np
        >>> import gss_keras
        >>> segmenter = gss_keras.GenerativeSegmenter.from_preset("camvid")
        >>> photo = np.zeros((30, 41, 3), "uint8")
        >>> analysis = Analyzer(segmenter).analyze(photo)
        >>> analysis.tokens.shape, analysis.mask.shape
        ((8, 11), (30, 41))
    """

    def __init__(self, segmenter):
        self.posterior = segmenter.posterior
        self._shapes = set()
        certainty = segmenter.prior.certainty_output
        # The three steps of `infer`, each continuing from the one before.
        self._prior = self._step(
            segmenter, {"tokens", "token_probabilities", certainty}
        )
        self._decoder = self._step(segmenter, {"maskige"})
        self._inverse = self._step(segmenter, {"masks", "confidence"})
        self._paint = _compile(segmenter, self.posterior.tokenizer.decode)

    @staticmethod
    def _step(segmenter, outputs):
        def step(inputs):
            known = {k: v for k, v in inputs.items() if k != "photos"}
            photos, names = inputs["photos"], sorted(outputs)
            return segmenter.infer(photos, names, "whole", known=known)

        return _compile(segmenter, step)

    def analyze(self, photo):
        """Segment a photo.

        Args:
            photo: Uint8 array `(height, width, 3)`, RGB 0-255.

        Returns:
            An `Analysis`.
        """
        height, width = photo.shape[:2]
        photo = pad_photo(photo)
        has_compiled = self._compiles_for(photo.shape)
        found, clock = {"photos": photo[None]}, [time.perf_counter()]
        for step in (self._prior, self._decoder, self._inverse):
            found |= step(found)
            clock.append(time.perf_counter())

        stride, scale = self.posterior.token_stride, self.posterior.mask_scale
        rows, columns = -(-height // stride), -(-width // stride)
        maskige = found["maskige"][0, ::scale, ::scale][:height, :width]
        return Analysis(
            tokens=found["tokens"][0, :rows, :columns],
            token_probability=found["token_probabilities"][0, :rows, :columns],
            maskige=np.rint(255 * maskige).astype("uint8"),
            mask=found["masks"][0, :height, :width],
            confidence=found["confidence"][0, :height, :width],
            seconds=dict(zip(_STEPS, np.diff(clock).tolist(), strict=True)),
            has_compiled=has_compiled,
        )

    def paint_token(self, token):
        """Decode an entry of the codebook.

        Args:
            token: Int in `[0, codebook_size)`.

        Returns:
            Two uint8 arrays `(stride, stride, 3)`: the patch decoded from the
            token alone, and from the token surrounded by copies of itself.
        """
        stride = self.posterior.tokenizer.stride
        alone = self._paint(np.full((1, 1, 1), token, "int32"))[0]
        side = 2 * _CONTEXT + 1
        field = self._paint(np.full((1, side, side), token, "int32"))[0]
        middle = slice(_CONTEXT * stride, (_CONTEXT + 1) * stride)
        return tuple(
            np.rint(255 * patch).astype("uint8")
            for patch in (alone, field[middle, middle])
        )

    def _compiles_for(self, shape):
        """Return whether a photo's shape will trigger a compilation."""
        is_new = shape not in self._shapes
        self._shapes.add(shape)
        # After two sizes, TensorFlow's traced function has dynamic sizes.
        most = {"jax": math.inf, "tensorflow": 2, "torch": 0}
        return is_new and len(self._shapes) <= most[keras.backend.backend()]


def pad_photo(photo):
    """Pad a photo on JAX, which compiles for every size.

    Edges are replicated up to the next of a few sizes, four per octave. After
    two sizes TensorFlow traces with dynamic sizes, and PyTorch compiles
    nothing: there, photos are returned unchanged.

    Args:
        photo: Array of shape `(height, width, 3)`.

    Returns:
        Array of the same or a larger shape.
    """
    if keras.backend.backend() != "jax":
        return photo
    missing = [padded_side(side) - side for side in photo.shape[:2]]
    return np.pad(photo, [(0, missing[0]), (0, missing[1]), (0, 0)], "edge")


def padded_side(side):
    """Round the side of a photo up to one of a few lengths.

    Args:
        side: Length in pixels, at least 1.

    Returns:
        A multiple of 32, at most a quarter (or 31 pixels) longer.

    Example:
        >>> [padded_side(side) for side in (1, 360, 480, 769, 1024)]
        [32, 384, 512, 896, 1024]
    """
    step = max(32, 2 ** (side.bit_length() - 1) // 4)
    return -(-side // step) * step


def _compile(model, function):
    """Return a compiled function from one batch to NumPy arrays."""
    inference = InferenceModel(model, function)
    # On TensorFlow, too, XLA would compile for every size.
    inference.compile(jit_compile=keras.backend.backend() == "jax")
    return inference.predict_on_batch
