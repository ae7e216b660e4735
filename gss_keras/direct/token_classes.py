"""Which classes tokens stand for, counted in true masks."""

import numpy as np
from keras import ops

from gss_keras.ops.backend import resize_bilinear
from gss_keras.ops.patches import pad_to_patches, space_to_depth

# So many pixels of evenly spread classes are added to what is counted, and so
# much probability is left for what never was.
_PRIOR_PIXELS = 0.05
_LEFT_OPEN = 0.02


def count_token_classes(posterior, masks):
    """Count how often each class lies at each pixel of a token's square.

    A tokenizer gives a square the token that suits its colors and those
    around it, so a token says little alone about some pixels and much about
    others. Nothing is trained here.

    Args:
        posterior: A `LatentPosterior`.
        masks: Iterable of int masks `(height, width)` of any sizes; ids
            outside `[0, num_classes)` are ignored.

    Returns:
        Float32 array `(codebook_size, stride * stride * num_classes)`, the
        probability of each class at one pixel of the square after another,
        where `stride` is the posterior's `token_stride`. Evenly spread for
        tokens that never occur.

    Raises:
        ValueError: If there is no mask.
    """
    stride, classes = posterior.token_stride, posterior.num_classes
    codes = posterior.tokenizer.codebook_size
    counts = np.zeros((codes, stride**2, classes))
    mask = None
    for mask in masks:
        mask = np.asarray(mask)
        tokens = ops.convert_to_numpy(posterior.encode(mask[None]))[0]
        ids = pad_to_patches(mask[None], classes, stride)
        squares = ops.convert_to_numpy(space_to_depth(ids, stride))
        squares = squares.reshape(-1, stride**2)
        token, pixel = np.broadcast_arrays(
            tokens.reshape(-1, 1), np.arange(stride**2)
        )
        known = squares < classes
        np.add.at(counts, (token[known], pixel[known], squares[known]), 1)
    if mask is None:
        raise ValueError(
            "`masks` must hold at least one mask to count in. Received: none"
        )
    counts += _PRIOR_PIXELS
    shares = counts / counts.sum(axis=-1, keepdims=True)
    shares = (1 - _LEFT_OPEN) * shares + _LEFT_OPEN / classes
    return shares.reshape(codes, -1).astype("float32")


def square_likelihoods(pixel_logits, stride):
    """Lay out what is likely at each pixel of a token's square as channels.

    Args:
        pixel_logits: Float tensor `(batch, h, w, num_classes)`, logits of the
            classes at each token's position.
        stride: Side of a token's square in pixels.

    Returns:
        Float tensor `(batch, h, w, stride * stride * num_classes)`,
        log-probabilities between those of neighboring positions, pixel after
        pixel as in what `count_token_classes` returns.
    """
    _, rows, columns, classes = ops.shape(pixel_logits)
    likely = ops.log_softmax(
        resize_bilinear(pixel_logits, rows * stride, columns * stride)
    )
    likely = ops.reshape(likely, (-1, rows, stride, columns, stride, classes))
    likely = ops.transpose(likely, (0, 1, 3, 2, 4, 5))
    return ops.reshape(likely, (-1, rows, columns, stride**2 * classes))
