"""Writes a vocabulary of shapes into the weights of a `DiscreteVAE`.

The encoder compares pixels: its first convolution has a channel for each
comparison that a token cares about, and the logits add the disagreements up,
so the most likely token is the one that is wrong by least. The decoder
looks up which pixel copies what, and copies.
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
    PIXELS,
    SQUARE,
)

# Costs are in units of one pixel that is wrong by the whole range of one
# channel. The next color of the lattice is at least 0.23 away.
OUTLINE_COST = 0.2  # a plain token where plain is right
STROKE_COST = 0.22  # an outline where no color has to be named
RAGGED_COST = 0.7  # a neighbor that is not plain is a poor one to copy
COLOR_COST = 2.0  # of the squared distance to the color named
KNOTS = 6  # of the straight pieces that stand for a square
KERNEL = 3 * SQUARE  # the square and its neighbors
COLOR_SHIFT = 2.3  # makes logits of colors positive, so that ReLU keeps them
GATE = 6.0  # more than any shifted logit


def build_tokenizer(codes, name="maskige"):
    """Build the tokenizer that speaks a vocabulary.

    Args:
        codes: `ShapeCodes`.
        name: Name of the model.

    Returns:
        A `DiscreteVAE` of stride 4 whose tokens are, in this order, the plain
        colors, the outlines, and the strokes, each in every color.
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
        patch=SQUARE,
        residual_gain=1.0,
        output_channels=3,
        name=name,
    )
    tokenizer.encoder.get_layer("input").set_weights([kernel, bias])
    tokenizer.to_logits.set_weights([scores[None, None], offsets])
    _write_decoder(tokenizer, codes)
    return tokenizer


class _Comparisons:
    """Channels of the encoder, made on demand, and their part in logits."""

    def __init__(self, num_codes):
        self._channels = {}
        self._num_codes = num_codes
        self._scores = []
        self.offsets = np.zeros(num_codes, "float32")

    def add(self, tokens, channel, weight):
        """Let a channel count for some tokens.

        Args:
            tokens: Index of tokens.
            channel: Tuple `(plus, minus, color, knot)`: the ReLU of one pixel
                minus another (or none), minus a constant.
            weight: float or float array, one for each token.
        """
        if channel not in self._channels:
            self._channels[channel] = len(self._channels)
            self._scores.append(np.zeros(self._num_codes, "float32"))
        self._scores[self._channels[channel]][tokens] += weight

    def add_difference(self, tokens, one, other, weight=1.0):
        """Subtract what two pixels differ by, in all three colors."""
        if one == other:
            return
        for color in range(3):
            # |d| = 2 relu(d) - d takes one channel where relu(-d) takes two.
            self.add(tokens, (one, other, color, 0), -2 * weight)
            self.add(tokens, (one, None, color, 0), weight)
            self.add(tokens, (other, None, color, 0), -weight)

    def add_distance(self, tokens, pixel, colors):
        """Subtract the squared distance of a pixel to each token's color."""
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
        """Return number of channels, kernel, bias and score of channels."""
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
    comparisons = _Comparisons(len(codes))
    num_colors, num_outlines = len(codes.colors), len(codes.outlines)
    plain = np.arange(num_colors)
    for pixel in range(PIXELS):
        comparisons.add_difference(plain, _pixel(pixel), _pixel(CENTER))
    comparisons.add_distance(plain, _pixel(CENTER), codes.colors)
    for number, shape in enumerate(codes.outlines):
        token = np.array([num_colors + number])
        comparisons.offsets[token] -= OUTLINE_COST
        _compare_copies(comparisons, token, shape)
    first = num_colors + num_outlines
    for shape in codes.strokes:
        tokens = np.arange(len(codes.stroke_colors)) + first
        first += len(tokens)
        comparisons.offsets[tokens] -= STROKE_COST
        _compare_copies(comparisons, tokens, shape)
        own = np.flatnonzero(shape == OWN)
        middle = _pixel(own[len(own) // 2])
        for pixel in own:
            comparisons.add_difference(tokens, _pixel(pixel), middle)
        comparisons.add_distance(tokens, middle, codes.stroke_colors)
    return (*comparisons.weights(), comparisons.offsets)


def _compare_copies(comparisons, tokens, shape):
    """Compare pixels with the neighbors they copy, which must be plain."""
    for source in set(shape.tolist()) - {OWN}:
        named = _pixel(CENTER, source)
        for pixel in np.flatnonzero(shape == source):
            comparisons.add_difference(tokens, _pixel(pixel), named)
        for corner in (0, SQUARE - 1, PIXELS - SQUARE, PIXELS - 1):
            comparisons.add_difference(
                tokens, _pixel(corner, source), named, RAGGED_COST
            )


def _pixel(number, source=None):
    """Return row and column in the kernel of a pixel of some square."""
    row, column = (0, 0) if source is None else NEIGHBORS[source]
    return (
        SQUARE * (1 + row) + number // SQUARE,
        SQUARE * (1 + column) + number % SQUARE,
    )


def _write_decoder(tokenizer, codes):
    """Set the weights that copy colors to pixels."""
    tokenizer.lookup.set_weights([_lookup_rows(codes), np.zeros(84)])
    block = tokenizer.decoder.get_layer("group_1_block_1")
    # Channels: source, pixel, color. Open gates lift them above zero.
    kernel = np.zeros((84, OWN + 1, PIXELS, 3), "float32")
    gates = np.arange((OWN + 1) * PIXELS)
    kernel.reshape(84, -1, 3)[3 + gates, gates] = GATE
    kernel = kernel.reshape(1, 1, 84, -1)
    block.shortcut.set_weights([kernel, np.full(kernel.shape[-1], -GATE)])
    for convolution, weights in zip(
        block.convolutions, _copying_weights(block.filters), strict=True
    ):
        convolution.set_weights(weights)
    kernel = np.eye(3 * PIXELS, dtype="float32")[None].repeat(OWN + 1, 0)
    kernel = kernel.reshape(1, 1, -1, 3 * PIXELS)
    bias = np.full(3 * PIXELS, -COLOR_SHIFT, "float32")
    tokenizer.decoder.get_layer("output").set_weights([kernel, bias])


def _copying_weights(filters):
    """Return kernel and bias of the four convolutions that move colors.

    A neighbor may itself be an outline, without a color to copy. So each
    square first finds out the color of its center, which may be a copy too,
    even of a copy; then pixels copy these.
    """
    hidden = filters // 4
    sources = (*NEIGHBORS, (0, 0))
    # Channels: own color; gate of the center from each source; color of the
    # center from each source, zero where that gate is closed.
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
        place = 1 + row, 1 + column
        center, copied = gates + source, copies + 3 * source + colors
        first[0, 0, 3 + PIXELS * source + CENTER, center] = 1
        second[1, 1, center, center] = 1
        second[*place, own + colors, copied] = 1
        second[1, 1, center, copied] = third[1, 1, center, copied] = GATE
        bias[copied] = -GATE
        for other in range(len(sources)):
            found = copies + 3 * other + colors
            third[*place, found, copied] = 1
            if source != OWN:
                fourth[*place, found, source, :, colors] = 1
    fourth[1, 1, own + colors, OWN, :, colors] = 1
    none = np.zeros(hidden, "float32")
    fourth = fourth.reshape(3, 3, hidden, filters)
    last = np.zeros(filters, "float32")
    return [first, none], [second, bias], [third, bias], [fourth, last]


def _lookup_rows(codes):
    """Return what each token knows: its color, and gates of its pixels."""
    num_strokes = len(codes.strokes)
    named = np.concatenate(
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
    rows = np.concatenate([named, gates.reshape(len(gates), -1)], axis=1)
    return np.pad(rows, ((0, 0), (0, 84 - rows.shape[1]))).astype("float32")


def _color_logits(colors):
    squeezed = PIXEL_SCALE * colors + PIXEL_OFFSET
    return np.log(squeezed / (1 - squeezed)) + COLOR_SHIFT
