"""Apply an inverse mapping X^-1 to decoded maskiges at the photo's size."""

from keras import ops

from gss_keras.maskige.inverse_mapping import InverseMapping
from gss_keras.ops.backend import argmax, resize_bilinear
from gss_keras.ops.padding import crop
from gss_keras.ops.strips import map_strips, strip_rows

# With this many logits per pixel of the mask, they are the largest activation
# of all, and pointwise inverses are applied in strips of rows.
_MANY_LOGITS = 64


class MaskigeReader:
    """Read class logits or masks off decoded maskiges.

    A maskige may be larger than the photo: `scale` x `scale` of its pixels
    are merged into one. How is declared by the inverse, see `InverseMapping`:
    votes are averaged, or logits. With many classes or pixels to merge, a
    pointwise inverse is applied to one strip of rows after the other, so that
    neither the logits before merging nor, for masks, those after merging are
    ever in memory as a whole.

    Args:
        inverse: An `InverseMapping` or any layer from maskiges to class
            logits.
        colors: Float tensor `(num_classes, 3)` in [0, 1], passed to an
            inverse that takes colors.
        num_classes: Number of classes.
        scale: Pixels of the maskige, vertically and horizontally, per pixel
            of the photo.
        is_stretched: Whether the whole maskige is resized to the photo's
            size, instead of cropped to it.
        training: Whether the inverse is being trained.
    """

    def __init__(
        self, inverse, colors, num_classes, scale, is_stretched, training=None
    ):
        self.inverse = inverse
        self.num_classes = num_classes
        self.scale = scale
        self.is_stretched = is_stretched
        self.arguments = {"training": training}
        if _declares(inverse, "takes_colors"):
            self.arguments["colors"] = colors
        # An argmax has no gradient, so nothing is learned through votes.
        self.has_votes = _declares(inverse, "has_votes") and not training
        self.uses_strips = (
            _declares(inverse, "is_pointwise")
            and not training
            and not is_stretched
            and num_classes * scale**2 > _MANY_LOGITS
        )

    def logits(self, maskige, height, width):
        """Return class logits.

        Args:
            maskige: Float `(batch, h, w, 3)` in [0, 1], at least `scale`
                times the photo.
            height: Height of the photo in pixels.
            width: Width of the photo in pixels.

        Returns:
            Float32 `(batch, height, width, num_classes)`. Of an inverse that
            votes, the fractions of votes, in [0, 1] and summing to 1.
        """
        if self.is_stretched:
            return resize_bilinear(self._votes(maskige), height, width)
        if self.uses_strips and self.scale > 1:
            logits = self._in_strips(self._merged_logits, maskige)
        else:
            logits = self._merged_logits(maskige)
        return crop(logits, height, width)

    def masks(self, maskige, height, width):
        """Return the best class of every pixel; arguments as for `logits`.

        Returns:
            Int32 `(batch, height, width)`.
        """
        if not self.uses_strips:
            return argmax(self.logits(maskige, height, width))
        masks = self._in_strips(
            lambda strip: argmax(self._merged_logits(strip)), maskige
        )
        return masks[:, :height, :width]

    def _in_strips(self, function, maskige):
        pixels = ops.shape(maskige)[2] * self.scale
        rows = strip_rows(pixels * self.num_classes)
        return map_strips(function, maskige, rows, input_factor=self.scale)

    def _merged_logits(self, maskige):
        """Return logits, one vector per `scale` x `scale` pixels."""
        if self.scale == 1:
            return self._apply(maskige)
        height, width = ops.shape(maskige)[1], ops.shape(maskige)[2]
        size = height // self.scale, width // self.scale
        return resize_bilinear(self._votes(maskige), *size)

    def _votes(self, maskige):
        logits = self._apply(maskige)
        if self.has_votes:
            logits = ops.one_hot(argmax(logits), self.num_classes)
        return logits

    def _apply(self, maskige):
        logits = self.inverse(maskige, **self.arguments)
        return ops.cast(logits, "float32")


def _declares(inverse, attribute):
    return getattr(inverse, attribute, getattr(InverseMapping, attribute))
