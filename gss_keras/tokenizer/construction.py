"""Construct the weights of a `DiscreteVAE` from a codebook of shapes.

Nothing is trained. The encoder computes the reconstruction error of each
token: every channel of its convolution and ReLU is a difference of two
pixels, and a token's logit is the negative weighted sum of the differences
that would be its errors. So the argmax is the token with the smallest error.
The decoder embeds each token as a color and as gates, which select the patch
from which each pixel copies its color.
"""

import numpy as np

from gss_keras.tokenizer.discrete_vae import (
    PIXEL_OFFSET,
    PIXEL_SCALE,
    DiscreteVAE,
)
from gss_keras.tokenizer.shape_codes import (
    CENTER,
    NEIGHBORS,
    OWN,
    PATCH,
    PIXELS,
)

# A cost of 1 is the error of one pixel by the whole range of one color channel.
# Neighboring colors of the lattice are at least 0.23 apart.
OUTLINE_COST = 0.2  # prefers tokens of uniform patches to outlines
STROKE_COST = 0.22  # prefers outlines to strokes
RAGGED_COST = 0.7  # per corner, for copying from a patch of several colors
COLOR_COST = 2.0  # factor of the squared distance to the token's color
KNOTS = 6  # linear pieces that approximate the square function
KERNEL = 3 * PATCH  # the patch and its neighbors
COLOR_SHIFT = 2.3  # makes color logits positive, so that ReLU passes them
GATE = 6.0  # above any shifted color logit


def build_tokenizer(codes, name="maskige"):
    """Build a tokenizer with a given codebook.

    Args:
        codes: `ShapeCodes`, the codebook.
        name: Name of the model.

    Returns:
        A `DiscreteVAE` of stride 4. Its tokens are, in this order, the colors
        of uniform patches, the outlines, and each stroke in every stroke
        color.
    """
    channels, kernel, bias, scores, offsets = _encoder_weights(codes)
    tokenizer = DiscreteVAE(
        codebook_size=len(codes),
        hidden=channels,
        groups=1,
        blocks=1,
        encoder_blocks=0,
        decoder_hidden=3 * PIXELS * (OWN + 1),
        decoder_initial=84,
        input_kernel=KERNEL,
        patch=PATCH,
        residual_gain=1.0,
        output_channels=3,
        name=name,
    )
    tokenizer.encoder.get_layer("input").set_weights([kernel, bias])
    tokenizer.to_logits.set_weights([scores[None, None], offsets])
    _write_decoder(tokenizer, codes)
    return tokenizer


class _ErrorTerms:
    """Collect the encoder's channels and their weights in the logits."""

    def __init__(self, num_codes):
        self._channels = {}
        self._num_codes = num_codes
        self._scores = []
        self.offsets = np.zeros(num_codes, "float32")

    def add(self, tokens, channel, weight):
        """Add a weighted channel to the logits of some tokens.

        Args:
            tokens: Index of tokens.
            channel: Tuple `(plus, minus, color, knot)`: ReLU of the pixel
                `plus` minus the pixel `minus` (or None) minus the constant
                `knot`, in one color channel.
            weight: float or float array with one value per token.
        """
        if channel not in self._channels:
            self._channels[channel] = len(self._channels)
            self._scores.append(np.zeros(self._num_codes, "float32"))
        self._scores[self._channels[channel]][tokens] += weight

    def add_difference(self, tokens, one, other, weight=1.0):
        """Subtract the L1 distance of two pixels' colors from logits."""
        if one == other:
            return
        for color in range(3):
            # |d| = 2 relu(d) - d needs one channel for the difference;
            # relu(d) + relu(-d) would need two.
            self.add(tokens, (one, other, color, 0), -2 * weight)
            self.add(tokens, (one, None, color, 0), weight)
            self.add(tokens, (other, None, color, 0), -weight)

    def add_distance(self, tokens, pixel, colors):
        """Subtract the squared distance of a pixel to each token's color.

        The square of the pixel's value is approximated piecewise linearly.
        """
        for color in range(3):
            self.add(
                tokens,
                (pixel, None, color, 0),
                COLOR_COST * (2 * colors[:, color] - 1 / KNOTS),
            )
            for knot in range(1, KNOTS):
                channel = (pixel, None, color, knot / KNOTS)
                self.add(tokens, channel, -2 * COLOR_COST / KNOTS)
        self.offsets[tokens] -= COLOR_COST * (colors**2).sum(-1)

    def weights(self):
        """Return the number of channels, kernel, bias and logit weights."""
        count = len(self._channels) + -len(self._channels) % 4
        kernel = np.zeros((KERNEL, KERNEL, 3, count), "float32")
        bias = np.zeros(count, "float32")
        for (plus, minus, color, knot), i in self._channels.items():
            kernel[*plus, color, i] = 1 / PIXEL_SCALE
            if minus is None:
                bias[i] = -PIXEL_OFFSET / PIXEL_SCALE - knot
            else:
                kernel[*minus, color, i] = -1 / PIXEL_SCALE
        scores = np.zeros((count, self._num_codes), "float32")
        scores[: len(self._scores)] = self._scores
        return count, kernel, bias, scores


def _encoder_weights(codes):
    terms = _ErrorTerms(len(codes))
    num_colors, num_outlines = len(codes.colors), len(codes.outlines)
    uniform = np.arange(num_colors)
    for pixel in range(PIXELS):
        terms.add_difference(uniform, _pixel(pixel), _pixel(CENTER))
    terms.add_distance(uniform, _pixel(CENTER), codes.colors)
    for number, shape in enumerate(codes.outlines):
        token = np.array([num_colors + number])
        terms.offsets[token] -= OUTLINE_COST
        _add_copied_pixels(terms, token, shape)
    first = num_colors + num_outlines
    for shape in codes.strokes:
        tokens = np.arange(len(codes.stroke_colors)) + first
        first += len(tokens)
        terms.offsets[tokens] -= STROKE_COST
        _add_copied_pixels(terms, tokens, shape)
        own = np.flatnonzero(shape == OWN)
        middle = _pixel(own[len(own) // 2])
        for pixel in own:
            terms.add_difference(tokens, _pixel(pixel), middle)
        terms.add_distance(tokens, middle, codes.stroke_colors)
    return (*terms.weights(), terms.offsets)


def _add_copied_pixels(terms, tokens, shape):
    """Add the errors of pixels that copy the color of a neighboring patch.

    The neighbor must be uniform: its corners are compared to its center, too.
    """
    for source in set(shape.tolist()) - {OWN}:
        center = _pixel(CENTER, source)
        for pixel in np.flatnonzero(shape == source):
            terms.add_difference(tokens, _pixel(pixel), center)
        for corner in (0, PATCH - 1, PIXELS - PATCH, PIXELS - 1):
            terms.add_difference(
                tokens, _pixel(corner, source), center, RAGGED_COST
            )


def _pixel(number, source=None):
    """Return a pixel's row and column in the encoder's kernel.

    Args:
        number: Index of the pixel in its patch, row by row.
        source: Index of a neighboring patch in `NEIGHBORS`, or None for the
            patch itself.
    """
    row, column = (0, 0) if source is None else NEIGHBORS[source]
    return (
        PATCH * (1 + row) + number // PATCH,
        PATCH * (1 + column) + number % PATCH,
    )


def _write_decoder(tokenizer, codes):
    """Set the decoder's weights, which copy colors to pixels."""
    tokenizer.lookup.set_weights([_token_embeddings(codes), np.zeros(84)])
    block = tokenizer.decoder.get_layer("group_1_block_1")
    # Channels: source, pixel, color. The shortcut adds 0 to a color whose
    # gate is open, and -GATE otherwise, which the ReLU sets to zero.
    kernel = np.zeros((84, OWN + 1, PIXELS, 3), "float32")
    gates = np.arange((OWN + 1) * PIXELS)
    kernel.reshape(84, -1, 3)[3 + gates, gates] = GATE
    kernel = kernel.reshape(1, 1, 84, -1)
    block.shortcut.set_weights([kernel, np.full(kernel.shape[-1], -GATE)])
    for convolution, weights in zip(
        block.convolutions, _copy_weights(block.filters), strict=True
    ):
        convolution.set_weights(weights)
    kernel = np.eye(3 * PIXELS, dtype="float32")[None].repeat(OWN + 1, 0)
    kernel = kernel.reshape(1, 1, -1, 3 * PIXELS)
    bias = np.full(3 * PIXELS, -COLOR_SHIFT, "float32")
    tokenizer.decoder.get_layer("output").set_weights([kernel, bias])


def _copy_weights(filters):
    """Return kernels and biases of the four convolutions that copy colors.

    A neighbor may itself be an outline, without a color of its own. So the
    first three convolutions resolve the color of each patch's center, which
    may be a copy, or a copy of a copy. The fourth copies these colors to
    pixels.
    """
    hidden = filters // 4
    sources = (*NEIGHBORS, (0, 0))
    # Channels: own color; the center's gate of each source; the center's color
    # copied from each source, zero if that gate is closed.
    own, gates, copies = 0, 3, 3 + len(sources)
    first = np.zeros((1, 1, 84, hidden), "float32")
    second, third = np.zeros((2, 3, 3, hidden, hidden), "float32")
    fourth = np.zeros((3, 3, hidden, OWN + 1, PIXELS, 3), "float32")
    bias = np.zeros(hidden, "float32")
    colors = np.arange(3)
    first[0, 0, own + colors, own + colors] = 1
    second[1, 1, own + colors, own + colors] = 1
    third[1, 1, own + colors, own + colors] = 1
    for source, (row, column) in enumerate(sources):
        offset = 1 + row, 1 + column
        center, copied = gates + source, copies + 3 * source + colors
        first[0, 0, 3 + PIXELS * source + CENTER, center] = 1
        second[1, 1, center, center] = 1
        second[*offset, own + colors, copied] = 1
        second[1, 1, center, copied] = third[1, 1, center, copied] = GATE
        bias[copied] = -GATE
        for other in range(len(sources)):
            resolved = copies + 3 * other + colors
            third[*offset, resolved, copied] = 1
            if source != OWN:
                fourth[*offset, resolved, source, :, colors] = 1
    fourth[1, 1, own + colors, OWN, :, colors] = 1
    no_bias = np.zeros(hidden, "float32")
    fourth = fourth.reshape(3, 3, hidden, filters)
    last_bias = np.zeros(filters, "float32")
    return (
        [first, no_bias],
        [second, bias],
        [third, bias],
        [fourth, last_bias],
    )


def _token_embeddings(codes):
    """Return the embedding of each token: its color logits and pixel gates."""
    num_strokes = len(codes.strokes)
    colors = np.concatenate(
        [
            _color_logits(codes.colors),
            np.zeros((len(codes.outlines), 3)),
            np.tile(_color_logits(codes.stroke_colors), (num_strokes, 1)),
        ]
    )
    shapes = np.concatenate(
        [
            np.full((len(codes.colors), PIXELS), OWN),
            codes.outlines,
            codes.strokes.repeat(len(codes.stroke_colors), axis=0),
        ]
    )
    gates = shapes[:, None, :] == np.arange(OWN + 1)[:, None]
    rows = np.concatenate([colors, gates.reshape(len(gates), -1)], axis=1)
    return np.pad(rows, ((0, 0), (0, 84 - rows.shape[1]))).astype("float32")


def _color_logits(colors):
    """Return the inverse sigmoid of colors, shifted to positive values."""
    pixels = PIXEL_SCALE * colors + PIXEL_OFFSET
    return np.log(pixels / (1 - pixels)) + COLOR_SHIFT
