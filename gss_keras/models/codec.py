"""The codec between masks and tokens: what encodes and what decodes them.

A codec has two halves, each with interchangeable implementations:

* An encoder has `encode(masks, scale=1)`: masks padded to whole tokens, int32
  `(batch, height, width)`, upscaled `scale` times, to int32 tokens
  `(batch, h, w)`. Implementations: `TokenizerEncoder` (X and the tokenizer's
  encoder), `DirectEncoder` (a small network) and `LookupEncoder` (a table).
* A decoder has `logits(tokens, height, width, ...)` and `masks(...)`, both at
  the size of the photo. Implementations: `TokenizerDecoder` (the tokenizer's
  decoder and X^-1) and `DirectTokenDecoder` (a `DirectDecoder`).
"""

from keras import ops

from gss_keras.maskige.reading import MaskigeReader
from gss_keras.ops.backend import argmax, resize_bilinear
from gss_keras.ops.padding import crop


class TokenizerEncoder:
    """Encode masks with the mapping X and the tokenizer's encoder.

    Args:
        mapping: A `MaskigeMapping`.
        tokenizer: A `DiscreteVAE`.
        mask_scale: Factor by which masks are upscaled before tokenization.
    """

    def __init__(self, mapping, tokenizer, mask_scale):
        self.mapping = mapping
        self.tokenizer = tokenizer
        self.mask_scale = mask_scale

    def encode(self, masks, scale=1):
        """Return int32 tokens `(batch, h, w)` of masks, see the module."""
        masks = upscale(masks, self.mask_scale // scale)
        return self.tokenizer.encode(self.mapping(masks))


class TokenizerDecoder:
    """Decode tokens with the tokenizer's decoder and an inverse mapping X^-1.

    Args:
        posterior: A `LatentPosterior`: tokenizer, colors and scales.
        inverse: An inverse mapping; by default the posterior's.
    """

    # What masks and logits are computed from, see `BaseSegmenter.infer`.
    reads = "maskige"

    def __init__(self, posterior, inverse=None):
        self.posterior = posterior
        self.inverse = inverse or posterior.inverse

    def logits(self, tokens, height, width, maskige=None, training=None):
        """Return class logits of a photo's size.

        Args:
            tokens: Int tensor `(batch, h, w)`.
            height: Height of the photo in pixels.
            width: Width of the photo in pixels.
            maskige: The decoded tokens, if they are known already: float
                `(batch, h * stride, w * stride, 3)` in [0, 1].
            training: Whether the inverse mapping is being trained.

        Returns:
            Float32 tensor `(batch, height, width, num_classes)`.
        """
        return self._reader(training).logits(
            self._maskige(tokens, maskige), height, width
        )

    def masks(self, tokens, height, width, maskige=None):
        """Return the best class of every pixel, with less memory than logits.

        Returns:
            Int32 tensor `(batch, height, width)`.
        """
        return self._reader().masks(
            self._maskige(tokens, maskige), height, width
        )

    def _maskige(self, tokens, maskige):
        if maskige is None:
            return self.posterior.tokenizer.decode(tokens)
        return maskige

    def _reader(self, training=None):
        posterior = self.posterior
        return MaskigeReader(
            self.inverse,
            posterior.mapping.colors,
            posterior.num_classes,
            posterior.mask_scale,
            posterior.alignment == "stretch",
            training,
        )


class DirectTokenDecoder:
    """Decode tokens with a `DirectDecoder`, without a maskige.

    Args:
        decoder: A `DirectDecoder`.
        alignment: As for `LatentPosterior`.
    """

    reads = "tokens"

    def __init__(self, decoder, alignment):
        self.decoder = decoder
        self.alignment = alignment

    def logits(self, tokens, height, width, maskige=None, training=None):
        """Return class logits, see `TokenizerDecoder.logits`."""
        del maskige, training
        logits = self.decoder(tokens)
        if self.alignment == "stretch":
            return resize_bilinear(logits, height, width)
        return crop(logits, height, width)

    def masks(self, tokens, height, width, maskige=None):
        """Return the best class of every pixel, int32."""
        return argmax(self.logits(tokens, height, width, maskige))


def upscale(masks, factor):
    """Upscale masks by an integer factor, by nearest neighbor.

    Args:
        masks: Int tensor `(batch, height, width)`.
        factor: Positive int.

    Returns:
        Int tensor `(batch, factor * height, factor * width)`.
    """
    if factor == 1:
        return masks
    masks = ops.repeat(masks, factor, axis=1)
    return ops.repeat(masks, factor, axis=2)
