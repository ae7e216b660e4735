"""The inverse mapping X^-1: a maskige is read back as class logits."""

import difflib

import keras

from gss_keras.maskige import palettes
from gss_keras.maskige.color_inverse import (
    LeastSquaresInverse,
    NearestColorInverse,
    sharpness_for,
)
from gss_keras.maskige.learned_inverse import ConvInverse, WindowInverse

# Nats by which a color to be learned stands out at the start. With much less
# the cross-entropy gains more from moving all colors to the ends of the cube
# than from reading any pixel better.
_MARGIN = 15.0


def _of_colors(inverse):
    def make(palette, is_palette_learned):
        if not is_palette_learned:
            return inverse(palette)
        return inverse(palette, sharpness=sharpness_for(palette, _MARGIN))

    return make


def _learned(inverse):
    def make(palette, is_palette_learned):
        del is_palette_learned  # it takes the colors as they come
        return inverse(len(palettes.as_palette(palette)), palette=palette)

    return make


_INVERSES = {
    "nearest_color": _of_colors(NearestColorInverse),
    "least_squares": _of_colors(LeastSquaresInverse),
    "conv": _learned(ConvInverse),
    "window": _learned(WindowInverse),
}


def inverse_from(identifier, palette, is_palette_learned=False):
    """Finds the inverse mapping that a user asked for.

    Args:
        identifier: `"nearest_color"` (FF), `"least_squares"`, `"conv"` (FT,
            TT), `"window"` (FT-W), or a layer that maps maskiges
            `(batch, height, width, 3)` in `[0, 1]` to class logits.
        palette: Name of a palette or array-like `(num_classes, 3)` of
            distinct colors in 0-255.
        is_palette_learned: Whether the colors will be trained through the
            inverse: its logits are sharper then.

    Returns:
        A Keras layer: the given one, or a new one for the palette.

    Raises:
        ValueError: If no inverse has that name, or the given layer is for
            another number of classes than the palette.

    Example:
        >>> inverse_from("nearest_color", "camvid").num_classes
        11
    """
    count = len(palettes.as_palette(palette))
    if isinstance(identifier, keras.layers.Layer):
        num_classes = getattr(identifier, "num_classes", count)
        if num_classes != count:
            raise ValueError(
                f"`inverse` must be for the {count} classes of the "
                f"palette. Received: a layer for {num_classes} classes"
            )
        return identifier
    if identifier not in _INVERSES:
        near = difflib.get_close_matches(
            str(identifier), _INVERSES, n=1, cutoff=0
        )
        raise ValueError(
            f"`inverse` must be a Keras layer or one of {sorted(_INVERSES)}; "
            f"did you mean {near[0]!r}? Received: inverse={identifier!r}"
        )
    return _INVERSES[identifier](palette, is_palette_learned)
