"""Class probabilities of tokens, estimated from true masks."""

import numpy as np
from keras import ops

from gss_keras.ops.backend import resize_bilinear
from gss_keras.ops.patches import pad_to_patches, space_to_depth

# Additive smoothing: pseudocount of each class, at each pixel of each token.
_PSEUDOCOUNT = 0.05
# Weight of the uniform distribution that is mixed in.
_UNIFORM_WEIGHT = 0.02


def count_token_classes(posterior, masks):
    """Estimate the class probabilities at each pixel of a token's patch.

    These are smoothed relative frequencies: the posterior encodes the masks,
    and the classes under each token are counted. A token also depends on its
    neighbors, so it determines some pixels of its patch and leaves others
    open. Nothing is trained.

    Args:
        posterior: A `LatentPosterior`.
        masks: Iterable of int masks `(height, width)` of any sizes; ids
            outside `[0, num_classes)` are ignored.

    Returns:
        Float32 array `(codebook_size, stride * stride * num_classes)`: the
        class probabilities of the patch's pixels, row by row, where `stride`
        is the posterior's `token_stride`. Uniform for tokens that do not
        occur.

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
        patches = ops.convert_to_numpy(space_to_depth(ids, stride))
        patches = patches.reshape(-1, stride**2)
        token, pixel = np.broadcast_arrays(
            tokens.reshape(-1, 1), np.arange(stride**2)
        )
        is_labeled = patches < classes
        where = token[is_labeled], pixel[is_labeled], patches[is_labeled]
        np.add.at(counts, where, 1)
    if mask is None:
        raise ValueError("`masks` must hold at least one mask. Received: none")
    counts += _PSEUDOCOUNT
    probabilities = counts / counts.sum(axis=-1, keepdims=True)
    probabilities *= 1 - _UNIFORM_WEIGHT
    probabilities += _UNIFORM_WEIGHT / classes
    return probabilities.reshape(codes, -1).astype("float32")


def patch_log_probabilities(pixel_logits, stride):
    """Return the class log-probabilities of each token's patch as channels.

    Args:
        pixel_logits: Float tensor `(batch, h, w, num_classes)`, class logits
            at token resolution.
        stride: Side of a token's patch in pixels.

    Returns:
        Float tensor `(batch, h, w, stride * stride * num_classes)`: the
        log-softmax of the logits, upsampled bilinearly to the pixels, in the
        channel order of `count_token_classes`.
    """
    _, rows, columns, classes = ops.shape(pixel_logits)
    upsampled = resize_bilinear(pixel_logits, rows * stride, columns * stride)
    shape = (-1, rows, stride, columns, stride, classes)
    patches = ops.reshape(ops.log_softmax(upsampled), shape)
    patches = ops.transpose(patches, (0, 1, 3, 2, 4, 5))
    return ops.reshape(patches, (-1, rows, columns, stride**2 * classes))
