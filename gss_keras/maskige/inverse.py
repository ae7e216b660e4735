"""The inverse mapping X^-1: a maskige is read back as class logits."""

import difflib

import keras
import numpy as np
from keras import ops

from gss_keras.maskige import palettes


@keras.saving.register_keras_serializable(package="gss_keras")
class NearestColorInverse(keras.layers.Layer):
    """Scores each class by how near its color is: the inverse of FF.

    The logit of class k for the color y of a pixel is
    `2 y.beta_k - |beta_k|^2`, with colors in [0, 1]: the negative squared
    distance up to a term that all classes share. So the best class is the
    nearest color, at the cost of one 1x1 convolution with bias. There is no
    class for the ignore color, hence it is never answered. The layer has no
    weights and always computes in float32, since the margins of close colors
    are below what half precision resolves.

    Args:
        palette: Name of a palette or array-like `(num_classes, 3)` of
            distinct colors in 0-255.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        maskiges: Float `(batch, height, width, 3)` in `[0, 1]`.

    Returns:
        Float32 logits `(batch, height, width, num_classes)`.

    Raises:
        ValueError: If the palette is no set of distinct colors or the
            maskiges do not have three channels.

    Reference:
        The release calls this the linear inverse; it too takes the nearest
        color. The formula printed in the paper is singular for more than
        three classes.

    Example:
        >>> inverse = NearestColorInverse([[255, 0, 0], [0, 0, 255]])
        >>> reddish = np.array([[[[0.8, 0.1, 0.3]]]])
        >>> int(keras.ops.argmax(inverse(reddish)))
        0
    """

    def __init__(self, palette, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.palette = palettes.as_palette(palette)
        colors = self.palette.astype("float64") / 255
        self._kernel = 2 * colors.T
        self._bias = -np.sum(colors * colors, axis=1)

    @property
    def num_classes(self):
        """Number of classes, an int."""
        return len(self.palette)

    def build(self, input_shape):
        if len(input_shape) != 4 or input_shape[-1] != 3:
            raise ValueError(
                "`maskiges` must have the shape `(batch, height, width, 3)`. "
                f"Received: maskiges of shape {tuple(input_shape)}"
            )

    def call(self, maskiges):
        kernel = ops.convert_to_tensor(self._kernel, "float32")
        bias = ops.convert_to_tensor(self._bias, "float32")
        return ops.matmul(maskiges, kernel) + bias

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.num_classes)

    def get_config(self):
        return {**super().get_config(), "palette": self.palette.tolist()}


_INVERSES = {"nearest_color": NearestColorInverse}


def inverse_from(identifier, palette):
    """Finds the inverse mapping that a user asked for.

    Args:
        identifier: `"nearest_color"`, or a layer that maps maskiges
            `(batch, height, width, 3)` in `[0, 1]` to class logits.
        palette: Name of a palette or array-like `(num_classes, 3)` of
            distinct colors in 0-255.

    Returns:
        A Keras layer: the given one, or a new one for the palette.

    Raises:
        ValueError: If no inverse has that name, or the given layer is for
            another number of classes than the palette.

    Example:
        >>> inverse_from("nearest_color", "camvid").num_classes
        11
    """
    palette = palettes.as_palette(palette)
    if isinstance(identifier, keras.layers.Layer):
        num_classes = getattr(identifier, "num_classes", len(palette))
        if num_classes != len(palette):
            raise ValueError(
                f"`inverse` must be for the {len(palette)} classes of the "
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
    return _INVERSES[identifier](palette)
