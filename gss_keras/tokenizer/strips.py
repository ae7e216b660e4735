"""Encode and decode large maps in strips, to bound peak memory.

The two or three largest activations of the finest groups, which dominate
peak memory, are computed strip by strip. Results equal those of the whole
models up to rounding. Gradients are correct but save no memory, so training
calls the models.
"""

import itertools

from keras import ops

from gss_keras.ops.strips import map_strips, strip_rows
from gss_keras.tokenizer.blocks import MaxPool2x2


def encode_in_strips(encoder, pixels, patch):
    """Encode pixels, with the first, finest group computed in strips.

    Args:
        encoder: The functional model of a `DiscreteVAE`'s encoder.
        pixels: Float `(batch, height, width, 3)`, multiples of the stride.
        patch: Stride of the first convolution.

    Returns:
        Float `(batch, h, w, channels)`, equal to `encoder(pixels)`.
    """
    layers = encoder.layers
    poolings = [
        index
        for index, layer in enumerate(layers)
        if isinstance(layer, MaxPool2x2)
    ]
    if not poolings:
        return encoder(pixels)
    _, convolution, *blocks = layers[: poolings[0]]
    radius = -(-convolution.kernel_size[0] // (2 * patch))
    radius += _receptive_radius(blocks)
    columns = ops.shape(pixels)[2] // patch
    features = map_strips(
        lambda strip: _run(layers[1 : poolings[0] + 1], strip),
        pixels,
        strip_rows(2 * columns * convolution.filters),
        halo=-(-radius // 2),
        input_factor=2 * patch,
    )
    return _run(layers[poolings[0] + 1 :], features)


def decode_in_strips(decoder, features, to_pixels, patch):
    """Decode features, with all upsampling groups computed in strips.

    Args:
        decoder: The functional model of a `DiscreteVAE`'s decoder.
        features: Float `(batch, h, w, channels)`.
        to_pixels: Function from the decoder's outputs to pixels, `patch`
            times as many vertically and horizontally.
        patch: Upsampling factor of `to_pixels`.

    Returns:
        `to_pixels(decoder(features))`.
    """
    layers = decoder.layers[1:]
    starts = [
        index
        for index, layer in enumerate(layers)
        if getattr(layer, "is_upsampling", False)
    ]
    features = _run(layers[: starts[0]] if starts else layers, features)
    if not starts:
        return to_pixels(features)
    for start, end in itertools.pairwise([*starts, len(layers)]):
        group, is_last = layers[start:end], end == len(layers)

        def upsample(strip, group=group, is_last=is_last):
            upsampled = _run(group, strip)
            return to_pixels(upsampled) if is_last else upsampled

        columns = 2 * ops.shape(features)[2]
        features = map_strips(
            upsample,
            features,
            strip_rows(2 * columns * group[0].filters),
            halo=-(-_receptive_radius(group) // 2),
            output_factor=2 * patch if is_last else 2,
        )
    return features


def _run(layers, features):
    for layer in layers:
        features = layer(features)
    return features


def _receptive_radius(layers):
    """Return the radius of the receptive field of a stack of layers."""
    return sum(getattr(layer, "receptive_radius", 0) for layer in layers)
