"""Names of the built-in inverse mappings X^-1."""

import difflib

import keras

from gss_keras.maskige import palettes
from gss_keras.maskige.color_inverse import (
    LeastSquaresInverse,
    NearestColorInverse,
    sharpness_for,
)
from gss_keras.maskige.learned_inverse import ConvInverse, WindowInverse

# Margin in nats of learned colors at initialization. With a much smaller one,
# moving all colors to the corners of the RGB cube lowers the cross-entropy
# more than classifying any pixel better.
_MARGIN = 15.0


def _of_colors(inverse):
    def make(palette, is_palette_learned, **sizes):
        if is_palette_learned:
            sizes["sharpness"] = sharpness_for(palette, _MARGIN)
        return inverse(palette, **sizes)

    return make


def _learned(inverse):
    def make(palette, is_palette_learned, **sizes):
        del is_palette_learned  # learned logits need no sharpness
        num_classes = len(palettes.as_palette(palette))
        return inverse(num_classes, palette=palette, **sizes)

    return make


_INVERSES = {
    "nearest_color": _of_colors(NearestColorInverse),
    "least_squares": _of_colors(LeastSquaresInverse),
    "conv": _learned(ConvInverse),
    "window": _learned(WindowInverse),
}


def inverse_from(identifier, palette, is_palette_learned=False, **sizes):
    """Return an inverse mapping by name, or the given layer.

    Args:
        identifier: `"nearest_color"` (FF), `"least_squares"`, `"conv"` (FT,
            TT), `"window"` (FT-W), or a layer, such as an `InverseMapping`,
            from maskiges `(batch, height, width, 3)` in `[0, 1]` to class
            logits.
        palette: Name of a palette or array-like `(num_classes, 3)` of
            distinct colors in 0-255.
        is_palette_learned: Whether the colors are trained through the
            inverse, whose logits then are sharper.
        **sizes: Further constructor arguments of a named inverse, such as
            `depth`.

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
        num_classes = getattr(identifier, "num_classes", None) or count
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
    return _INVERSES[identifier](palette, is_palette_learned, **sizes)
