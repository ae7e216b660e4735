"""What an exported model says about photos: masks, and how sure it is."""

import functools

import numpy as np
from keras import ops

from gss_keras.inference.sliding_window import window_starts
from gss_keras.ops.backend import argmax, loop_in_turn, resize_bilinear

OUTPUTS = ("masks", "confidence", "tokens", "maskige")


def answer(segmenter, photos, outputs=OUTPUTS, window=None, stride=None):
    """Segment photos and say how sure of each pixel the model is.

    The confidence of a pixel is the probability of the class that the mask
    gives it. It is read off the branch that classifies pixels: all of a
    `DiscriminativeSegmenter`, the pixel branch of a `GenerativeSegmenter`,
    which was trained beside its tokens on the same masks. Where the prior has
    no pixel branch, it is the probability of the token that painted the
    pixel; as several tokens may paint the same, that is a cautious number.

    Args:
        segmenter: A `GenerativeSegmenter` or `DiscriminativeSegmenter`.
        photos: Tensor of shape `(batch, height, width, 3)`, raw RGB 0-255,
            whose sizes may be known only at run time.
        outputs: Names of what to answer, of `OUTPUTS`.
        window: Height and width in pixels of the windows to score photos in,
            None for whole; see `inference.sliding_window.score_windows`.
        stride: Distance of the windows downwards and sideways.

    Returns:
        A dict of what was asked for: `masks`, int32 `(batch, height, width)`,
        ids in `[0, num_classes)`; `confidence`, float32 of the same shape,
        from 0 to 1; `tokens`, int32 `(batch, ceil(height / 4),
        ceil(width / 4))`; `maskige`, float32 in [0, 1], of `mask_scale` times
        the photos' size, rounded up to whole tokens, and 3 channels.

    Raises:
        ValueError: If `outputs` names what this segmenter has not.
    """
    check_outputs(segmenter, outputs, window)
    classes = segmenter.num_classes
    has_confidence = "confidence" in outputs
    look_at = functools.partial(look, segmenter, has_certainty=has_confidence)

    def score(crops):
        answers = look_at(crops)
        if not has_confidence:
            return answers["logits"]
        parts = [answers["logits"], answers["certainty"]]
        return ops.concatenate(parts, axis=-1)

    if window is None:
        answers = look_at(photos, has_logits=False)
    else:
        channels = classes
        if has_confidence:
            channels += 1 if _has_tokens_only(segmenter) else classes
        scores = _score_windows(score, channels, photos, window, stride)
        answers = {
            "masks": argmax(scores[..., :classes]),
            "certainty": scores[..., classes:],
        }
    if has_confidence:
        answers["confidence"] = of_class(answers["certainty"], answers["masks"])
    return {name: answers[name] for name in outputs}


def check_outputs(segmenter, outputs, window=None):
    """Check that a segmenter can answer what is asked for.

    Args:
        segmenter: A `GenerativeSegmenter` or `DiscriminativeSegmenter`.
        outputs: Names of what to answer.
        window: Height and width of windows, None for whole photos.

    Raises:
        ValueError: If a name is unknown, or there are no such tokens.
    """
    if not outputs or set(outputs) - set(OUTPUTS):
        raise ValueError(
            f"`outputs` must name one or more of {OUTPUTS}. "
            f"Received: outputs={outputs}"
        )
    is_generative = hasattr(segmenter, "prior")
    if {"tokens", "maskige"} & set(outputs) and not (
        is_generative and window is None
    ):
        raise ValueError(
            "`outputs` can have tokens and a maskige only of a "
            "`GenerativeSegmenter` that sees photos as a whole: windows have "
            "each its own. Give `window='whole'`, or ask for 'masks' and "
            f"'confidence'. Received: outputs={outputs}, window={window} of a "
            f"{type(segmenter).__name__}"
        )


def look(segmenter, photos, has_certainty=True, has_logits=True):
    """Put photos through a segmenter once and keep what comes out.

    Args:
        segmenter: A `GenerativeSegmenter` or `DiscriminativeSegmenter`.
        photos: Tensor of shape `(batch, height, width, 3)`, raw RGB 0-255.
        has_certainty: Whether the certainty is asked for.
        has_logits: Whether the logits are asked for, or only the masks.

    Returns:
        A dict of `logits`, float32 `(batch, height, width, num_classes)`,
        the class logits that `predict` takes the best of, or of `masks`,
        int32 `(batch, height, width)`, which need less memory; if asked for,
        `certainty`, float32 `(batch, height, width, num_classes or 1)`,
        probabilities of each class or of what was answered; and, of a
        `GenerativeSegmenter`, `tokens` and `maskige` as `answer` has them.
    """
    size = ops.shape(photos)[1:3]
    if not hasattr(segmenter, "prior"):
        logits = ops.cast(segmenter(photos, training=False), "float32")
        certainty = {"certainty": ops.softmax(logits)} if has_certainty else {}
        seen = {"logits": logits} if has_logits else {"masks": argmax(logits)}
        return seen | certainty

    prior, posterior = segmenter.prior, segmenter.posterior
    seen = prior(photos, training=False)
    if has_certainty and _has_tokens_only(segmenter):
        tokens, shares = prior.vocabulary.likeliest(seen["features"])
    else:
        tokens, shares = prior.vocabulary.best_tokens(seen["features"]), None
    maskige = posterior.tokenizer.decode(tokens)
    answers = {"tokens": tokens, "maskige": ops.cast(maskige, "float32")}
    if has_logits:
        answers["logits"] = segmenter.decode(tokens, *size, maskige)
    else:
        answers["masks"] = segmenter.decode_masks(tokens, *size, maskige)
    if has_certainty:
        certainty = spread_over_pixels(
            certainty_of_tokens(seen, shares), posterior.token_stride
        )
        answers["certainty"] = certainty[:, : size[0], : size[1]]
    return answers


def _has_tokens_only(segmenter):
    prior = getattr(segmenter, "prior", None)
    return prior is not None and prior.pixel_classifier is None


def certainty_of_tokens(seen, shares):
    """Say at each token how probable each class is, or else the token.

    Args:
        seen: What a `LatentPrior` gives for photos.
        shares: Float tensor `(batch, rows, columns)`, the probability of the
            likeliest token; not read where there is a pixel branch.

    Returns:
        Float32 tensor `(batch, rows, columns, num_classes)` in [0, 1]; where
        the prior has no pixel branch, `shares` as the one channel.
    """
    if "pixel_logits" in seen:
        return ops.softmax(ops.cast(seen["pixel_logits"], "float32"))
    return shares[..., None]


def spread_over_pixels(certainty, stride):
    """Bring the certainty of tokens to the pixels that they paint.

    Args:
        certainty: What `certainty_of_tokens` returned.
        stride: Side in pixels of a token's square.

    Returns:
        Float32 tensor of `stride` times the height and width.
    """
    if certainty.shape[-1] == 1:
        certainty = ops.repeat(certainty, stride, axis=1)
        return ops.repeat(certainty, stride, axis=2)
    height, width = ops.shape(certainty)[1:3]
    return resize_bilinear(certainty, stride * height, stride * width)


def of_class(certainty, masks):
    """Take each pixel's certainty of the class in its mask.

    Args:
        certainty: Float tensor `(batch, height, width, num_classes or 1)`.
        masks: Int tensor `(batch, height, width)`.

    Returns:
        Float tensor `(batch, height, width)`.
    """
    if certainty.shape[-1] == 1:
        return certainty[..., 0]
    chosen = ops.take_along_axis(certainty, masks[..., None], axis=-1)
    return chosen[..., 0]


def _score_windows(score, channels, photos, window, stride):
    """Do what `sliding_window.score_windows` does, inside of a graph."""
    batch, height, width, _ = ops.shape(photos)
    tops = _window_starts(height, window[0], stride[0])
    lefts = _window_starts(width, window[1], stride[1])
    columns = ops.shape(lefts)[0]

    def add_window(index, total):
        top, left = (
            _entry(tops, index // columns),
            _entry(lefts, index % columns),
        )
        # A slice ends where the photo does.
        crops = photos[:, top : top + window[0], left : left + window[1]]
        scores = score(crops)
        high, wide = ops.shape(scores)[1:3]
        below, right = height - top - high, width - left - wide
        padding = [[0, 0], [top, below], [left, right], [0, 0]]
        return total + ops.pad(scores, padding)

    total = ops.zeros((batch, height, width, channels), "float32")
    total = loop_in_turn(ops.shape(tops)[0] * columns, add_window, total)
    counts = (
        _times_covered(tops, height, window[0])[:, None]
        * _times_covered(lefts, width, window[1])[None, :]
    )
    return total / counts[..., None]


def _window_starts(size, window, stride):
    """Do what `sliding_window.window_starts` does, inside of a graph."""
    if isinstance(size, int):
        return np.array(window_starts(size, window, stride), "int32")
    last = ops.maximum(size - window, 0)
    count = (last + stride - 1) // stride + 1
    return ops.minimum(ops.arange(count) * stride, last)


def _entry(starts, index):
    if isinstance(index, int):
        return int(starts[index])
    return ops.convert_to_tensor(starts)[index]


def _times_covered(starts, size, window):
    positions = ops.arange(size, dtype="int32")[None, :]
    starts = ops.convert_to_tensor(starts)[:, None]
    is_covered = (positions >= starts) & (positions < starts + window)
    return ops.sum(ops.cast(is_covered, "float32"), axis=0)
