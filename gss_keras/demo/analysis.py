"""Follow one photo through the segmenter, step by step, with the times."""

import dataclasses
import math
import time

import keras
import numpy as np
from keras import ops

from gss_keras.export.answers import (
    certainty_of_tokens,
    of_class,
    spread_over_pixels,
)
from gss_keras.models.stage import Answer

# How many tokens of a field stand to each side of the one that is shown: as
# far as the bundled tokenizer's decoder looks.
_FIELD = 3
_STEPS = ("prior", "decoder", "inverse")


@dataclasses.dataclass(frozen=True, eq=False)
class Analysis:
    """What became of a photo at each step.

    Attributes:
        tokens: Int32 array `(rows, columns)`, the likeliest tokens.
        token_probability: Float32 array `(rows, columns)` in [0, 1], how
            probable the prior holds each of them.
        maskige: Uint8 array `(height, width, 3)`, RGB 0-255, as decoded.
        mask: Int32 array `(height, width)` of class ids.
        confidence: Float32 array `(height, width)` in [0, 1], the probability
            of the class in the mask, as `gss_keras.export` has it: read off
            the prior's pixel branch or, where it has none, that of the token.
        seconds: Dict of the seconds that "prior", "decoder" and "inverse"
            took.
        has_compiled: Whether the seconds include compiling for a photo of a
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
    """Segments photos as `segmenter.predict` does, showing every step.

    Args:
        segmenter: A `GenerativeSegmenter`. Photos are scored whole, also if
            it has a window.

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
        self._segmenter = segmenter
        self._seen = set()
        self._predict_tokens = _compile(segmenter, self._tokens_of)
        self._decode = _compile(segmenter, self.posterior.tokenizer.decode)
        self._read = _compile(segmenter, self._read_classes)

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
        clock = [time.perf_counter()]
        tokens, probability, certainty = self._predict_tokens(photo[None])
        clock.append(time.perf_counter())
        maskige = self._decode(tokens)
        clock.append(time.perf_counter())
        mask, confidence = self._read([tokens, maskige, certainty])
        clock.append(time.perf_counter())

        stride, scale = self.posterior.token_stride, self.posterior.mask_scale
        rows, columns = -(-height // stride), -(-width // stride)
        maskige = maskige[0, ::scale, ::scale][:height, :width]
        return Analysis(
            tokens=tokens[0, :rows, :columns],
            token_probability=probability[0, :rows, :columns],
            maskige=np.rint(255 * maskige).astype("uint8"),
            mask=mask[0, :height, :width],
            confidence=confidence[0, :height, :width],
            seconds=dict(zip(_STEPS, np.diff(clock).tolist(), strict=True)),
            has_compiled=has_compiled,
        )

    def paint_token(self, token):
        """Decode an entry of the codebook.

        Args:
            token: Int in `[0, codebook_size)`.

        Returns:
            Two uint8 arrays `(stride, stride, 3)`: what the decoder paints
            for the token where nothing stands beside it, and in the middle of
            a field of its own kind.
        """
        stride = self.posterior.tokenizer.stride
        alone = self._decode(np.full((1, 1, 1), token, "int32"))[0]
        side = 2 * _FIELD + 1
        field = self._decode(np.full((1, side, side), token, "int32"))[0]
        middle = slice(_FIELD * stride, (_FIELD + 1) * stride)
        return tuple(
            np.rint(255 * patch).astype("uint8")
            for patch in (alone, field[middle, middle])
        )

    def _compiles_for(self, shape):
        """Return whether a photo's shape will make the backend compile."""
        is_new = shape not in self._seen
        self._seen.add(shape)
        # Having met two sizes, TensorFlow knows that they vary.
        most = {"jax": math.inf, "tensorflow": 2, "torch": 0}
        return is_new and len(self._seen) <= most[keras.backend.backend()]

    def _tokens_of(self, photos):
        """Return tokens, their probabilities and those of each class.

        Where the prior has no pixel branch, the last are those of the tokens.
        """
        prior = self._segmenter.prior
        seen = prior(photos, training=False)
        tokens, probability = prior.vocabulary.likeliest(seen["features"])
        certainty = certainty_of_tokens(seen, probability)
        return tokens, probability, certainty

    def _read_classes(self, seen):
        """Return the mask and the confidence of every pixel."""
        tokens, maskige, certainty = seen
        scale = self.posterior.mask_scale
        size = [side // scale for side in ops.shape(maskige)[1:3]]
        mask = self._segmenter.decode_masks(tokens, *size, maskige)
        certainty = spread_over_pixels(certainty, self.posterior.token_stride)
        return mask, of_class(certainty, mask)


def pad_photo(photo):
    """Pad a photo on JAX, which compiles anew for every size.

    The last row and column are repeated to the next of a few sizes, four to
    each doubling. TensorFlow learns after two sizes that they vary, PyTorch
    compiles nothing: there photos stay as they are.

    Args:
        photo: Array of shape `(height, width, 3)`.

    Returns:
        Array of a shape as large or larger.
    """
    if keras.backend.backend() != "jax":
        return photo
    missing = [padded_side(side) - side for side in photo.shape[:2]]
    return np.pad(photo, [(0, missing[0]), (0, missing[1]), (0, 0)], "edge")


def padded_side(side):
    """Round the side of a photo up to one of few lengths.

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
    """Return a function from one batch to NumPy arrays."""
    answer = Answer(model, function)
    # XLA would compile anew for every size on TensorFlow too.
    answer.compile(jit_compile=keras.backend.backend() == "jax")
    return answer.predict_on_batch
