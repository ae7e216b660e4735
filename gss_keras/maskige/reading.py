"""Reads classes off decoded maskiges, at the size of the photo."""

from keras import ops

from gss_keras.maskige.color_inverse import ColorInverse, NearestColorInverse
from gss_keras.ops.backend import argmax, resize_bilinear
from gss_keras.ops.padding import crop
from gss_keras.ops.strips import in_strips, rows_of_strip

# From here on, scores of every class for the pixels that make one of the
# photo are the widest map of all.
_MANY = 64


class MaskigeReader:
    """Puts an inverse mapping to use: maskiges in, logits or masks out.

    Where pixels of the maskige are merged into one of the photo, those of the
    nearest color cast one vote each, since the mean of two classes' colors
    can be nearest to a third. Logits that were learned are merged as they
    are.

    An inverse that follows from the colors looks at one pixel at a time, so
    with many classes or pixels to merge it is given one strip of the maskige
    after the other. Neither the logits of all pixels before they are merged
    nor, for masks, those after it are ever held.

    Args:
        inverse: Layer from maskiges to class logits.
        num_classes: Number of classes.
        scale: Pixels of the maskige, downwards and sideways, for one of the
            photo.
        is_stretched: Whether the whole maskige is squeezed onto the photo,
            instead of what reaches past it being cut off.
        arguments: Dictionary of what the inverse is called with besides.
    """

    def __init__(self, inverse, num_classes, scale, is_stretched, arguments):
        self.inverse = inverse
        self.num_classes = num_classes
        self.scale = scale
        self.is_stretched = is_stretched
        self.arguments = arguments
        # Votes have no gradient, so colors are learned without them.
        is_trained = bool(arguments.get("training"))
        is_nearest = isinstance(inverse, NearestColorInverse)
        self.has_votes = is_nearest and not is_trained
        self.is_in_strips = (
            isinstance(inverse, ColorInverse)
            and not is_trained
            and not is_stretched
            and num_classes * scale**2 > _MANY
        )

    def logits(self, maskige, height, width):
        """Return class logits.

        Args:
            maskige: Float `(batch, h, w, 3)` in [0, 1], at least `scale`
                times the photo.
            height: Height of the photo in pixels.
            width: Width of the photo in pixels.

        Returns:
            Float32 `(batch, height, width, num_classes)`. Votes are from 0 to
            1 and sum to 1.
        """
        if self.is_stretched:
            return resize_bilinear(self._votes(maskige), height, width)
        if self.is_in_strips and self.scale > 1:
            logits = self._in_strips(self._merged, maskige)
        else:
            logits = self._merged(maskige)
        return crop(logits, height, width)

    def masks(self, maskige, height, width):
        """Return the best class of every pixel; arguments as for `logits`.

        Returns:
            Int32 `(batch, height, width)`.
        """
        if not self.is_in_strips:
            return argmax(self.logits(maskige, height, width))
        masks = self._in_strips(
            lambda strip: argmax(self._merged(strip)), maskige
        )
        return masks[:, :height, :width]

    def _in_strips(self, function, maskige):
        pixels = ops.shape(maskige)[2] * self.scale
        rows = rows_of_strip(pixels * self.num_classes)
        return in_strips(function, maskige, rows, read=self.scale)

    def _merged(self, maskige):
        """Return logits, one for `scale` x `scale` pixels."""
        if self.scale == 1:
            return self._read(maskige)
        height, width = ops.shape(maskige)[1], ops.shape(maskige)[2]
        size = height // self.scale, width // self.scale
        return resize_bilinear(self._votes(maskige), *size)

    def _votes(self, maskige):
        logits = self._read(maskige)
        if self.has_votes:
            logits = ops.one_hot(argmax(logits), self.num_classes)
        return logits

    def _read(self, maskige):
        logits = self.inverse(maskige, **self.arguments)
        return ops.cast(logits, "float32")
