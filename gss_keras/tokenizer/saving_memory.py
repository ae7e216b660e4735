"""Encoder and decoder group by group, large maps in strips.

The results are those of the models called as a whole, but for rounding; what
is not held is the two or three widest maps of the finest groups, the most
that a whole pass holds. Gradients are right, too, but gain nothing: whoever
needs them calls the models.
"""

import itertools

from keras import ops

from gss_keras.ops.strips import in_strips, rows_of_strip
from gss_keras.tokenizer.blocks import Halving


def describe(encoder, pixels, patch):
    """Encode pixels, the group that sees them all in strips.

    Args:
        encoder: The functional model of a `DiscreteVAE`'s encoder.
        pixels: Float `(batch, height, width, 3)`, multiples of the stride.
        patch: Pixels, downwards and sideways, of a position in that group.

    Returns:
        Float `(batch, h, w, channels)`, as `encoder(pixels)` gives it.
    """
    layers = encoder.layers
    halvings = [
        index
        for index, layer in enumerate(layers)
        if isinstance(layer, Halving)
    ]
    if not halvings:
        return encoder(pixels)
    _, convolution, *blocks = layers[: halvings[0]]
    reach = -(-convolution.kernel_size[0] // (2 * patch)) + _reach(blocks)
    columns = ops.shape(pixels)[2] // patch
    features = in_strips(
        lambda strip: _run(layers[1 : halvings[0] + 1], strip),
        pixels,
        rows_of_strip(2 * columns * convolution.filters),
        halo=-(-reach // 2),
        read=2 * patch,
    )
    return _run(layers[halvings[0] + 1 :], features)


def paint(decoder, features, finish, patch):
    """Decode features, all groups that double the map in strips.

    Args:
        decoder: The functional model of a `DiscreteVAE`'s decoder.
        features: Float `(batch, h, w, channels)`.
        finish: Function from what the decoder gives to pixels, `patch` times
            as many downwards and sideways.
        patch: As for `finish`.

    Returns:
        `finish(decoder(features))`.
    """
    layers = decoder.layers[1:]
    starts = [
        index
        for index, layer in enumerate(layers)
        if getattr(layer, "is_upsampling", False)
    ]
    features = _run(layers[: starts[0]] if starts else layers, features)
    if not starts:
        return finish(features)
    for start, end in itertools.pairwise([*starts, len(layers)]):
        group, is_last = layers[start:end], end == len(layers)

        def double(strip, group=group, is_last=is_last):
            doubled = _run(group, strip)
            return finish(doubled) if is_last else doubled

        columns = 2 * ops.shape(features)[2]
        features = in_strips(
            double,
            features,
            rows_of_strip(2 * columns * group[0].filters),
            halo=-(-_reach(group) // 2),
            written=2 * patch if is_last else 2,
        )
    return features


def _run(layers, maps):
    for layer in layers:
        maps = layer(maps)
    return maps


def _reach(layers):
    """Return how many positions away from a result its causes may lie."""
    return sum(getattr(layer, "reach", 0) for layer in layers)
