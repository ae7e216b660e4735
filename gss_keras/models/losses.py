"""Cross-entropy over the pixels that are not ignored."""

from keras import ops

from gss_keras.distribution import shared_mean
from gss_keras.ops.kernels import cross_entropy


def masked_cross_entropy(masks, logits, num_classes):
    """Average the cross-entropy over the pixels that are not ignored.

    Args:
        masks: Int tensor of shape `(batch, height, width)`; ids outside
            `[0, num_classes)` are ignored.
        logits: Float tensor `(batch, height, width, num_classes)`.
        num_classes: Number of classes K.

    Returns:
        Float32 scalar in nats, 0 where every pixel is ignored. While several
        devices train together, the average is over all of them.
    """
    masks = ops.cast(masks, "int32")
    is_known = (masks >= 0) & (masks < num_classes)
    losses = cross_entropy(ops.where(is_known, masks, 0), logits)
    counted = ops.cast(is_known, "float32")
    return shared_mean(ops.sum(losses * counted), ops.sum(counted))
