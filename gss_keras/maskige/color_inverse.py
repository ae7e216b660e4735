"""Inverse mappings X^-1 computed from the palette, without training."""

import keras
from keras import ops

from gss_keras.maskige import palettes
from gss_keras.maskige.inverse_mapping import InverseMapping
from gss_keras.ops.kernels import project


class ColorInverse(InverseMapping):
    """Compute class logits per pixel from the palette; nothing to train.

    A subclass computes logits in `score`. The layer has no weights and always
    computes in float32: half precision does not resolve close colors.

    Args:
        palette: Name of a palette or array-like `(num_classes, 3)` of
            distinct colors in 0-255.
        sharpness: Factor of the logits, an inverse temperature: it changes
            the confidence of their softmax, never the argmax.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        maskiges: Float `(batch, height, width, 3)` in `[0, 1]`.
        colors: Float `(num_classes, 3)` in `[0, 1]`, used instead of the
            palette: those of a mapping that is being learned.

    Returns:
        Float32 logits `(batch, height, width, num_classes)`.

    Raises:
        ValueError: If the palette is no set of distinct colors, `sharpness`
            is not above 0 or the maskiges do not have three channels.
    """

    takes_colors = True
    is_pointwise = True

    def __init__(self, palette, sharpness=1.0, **kwargs):
        if not sharpness > 0:
            raise ValueError(
                "`sharpness` must be above 0. "
                f"Received: sharpness={sharpness!r}"
            )
        super().__init__(**{"dtype": "float32", **kwargs})
        self.palette = palettes.as_palette(palette)
        self.sharpness = sharpness
        self._given_palette = palettes.as_config(palette)

    @property
    def num_classes(self):
        """Number of classes, an int."""
        return len(self.palette)

    def score(self, maskiges, colors):
        """Return logits `(..., num_classes)`, before the sharpness."""
        raise NotImplementedError

    def build(self, input_shape):
        if len(input_shape) != 4 or input_shape[-1] != 3:
            raise ValueError(
                "`maskiges` must have the shape `(batch, height, width, 3)`. "
                f"Received: maskiges of shape {tuple(input_shape)}"
            )

    def call(self, maskiges, colors=None):
        if colors is None:
            colors = ops.convert_to_tensor(self.palette / 255, "float32")
        return self.sharpness * self.score(maskiges, colors)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.num_classes)

    def get_config(self):
        return {
            **super().get_config(),
            "palette": self._given_palette,
            "sharpness": self.sharpness,
        }


def sharpness_for(palette, margin):
    """Return the sharpness that gives the closest two colors a margin.

    Args:
        palette: As for `NearestColorInverse`.
        margin: Float, nats by which the logit of a class exceeds that of
            the nearest other class at its own color.

    Returns:
        A Python float.

    Example:
        >>> round(sharpness_for([[0, 0, 0], [255, 0, 0]], margin=6.0), 3)
        6.0
    """
    # With a single color, fall back to the diagonal of the RGB cube.
    apart = palettes.smallest_distance(palettes.as_palette(palette))
    return margin / (min(apart, 442.0) / 255) ** 2


@keras.saving.register_keras_serializable(package="gss_keras")
class NearestColorInverse(ColorInverse):
    """Classify each pixel by its nearest color: the inverse of FF.

    The logit of class k for the color y of a pixel is
    `2 y.beta_k - |beta_k|^2`, with colors in [0, 1]: the negative squared
    distance up to a term common to all classes. The argmax is the nearest
    color, computed by one 1x1 convolution with bias. The ignore color is no
    class and is never predicted. Arguments as for `ColorInverse`.

    Reference:
        The release calls this the linear inverse; it too takes the nearest
        color. The formula printed in the paper is singular for more than
        three classes.

    Example:
        >>> import numpy as np
        >>> inverse = NearestColorInverse([[255, 0, 0], [0, 0, 255]])
        >>> reddish = np.array([[[[0.8, 0.1, 0.3]]]])
        >>> int(keras.ops.argmax(inverse(reddish)))
        0
    """

    has_votes = True

    def score(self, maskiges, colors):
        kernel = 2 * ops.transpose(colors)
        return project(maskiges, kernel, -ops.sum(colors**2, axis=-1))


@keras.saving.register_keras_serializable(package="gss_keras")
class LeastSquaresInverse(ColorInverse):
    """Invert the mapping by linear least squares: the paper's formula.

    A maskige is a one-hot mask times the colors beta (K x 3). Its
    least-squares inverse is the pseudoinverse `(beta^T beta)^-1 beta^T`, whose
    K outputs are the logits. With more than four classes it misclassifies
    even exact colors: a color between others scores below them. Prefer the
    nearest color. Arguments as for `ColorInverse`.

    Reference:
        Section 3.2 of the paper, whose printed formula inverts the K x K
        matrix `beta beta^T`, of rank 3.

    Example:
        >>> import numpy as np
        >>> inverse = LeastSquaresInverse([[255, 0, 0], [0, 0, 255]])
        >>> reddish = np.array([[[[0.8, 0.1, 0.3]]]])
        >>> int(keras.ops.argmax(inverse(reddish)))
        0
    """

    def score(self, maskiges, colors):
        transposed = ops.transpose(colors)
        if self.num_classes < 3:
            # beta^T beta is singular: take the minimum-norm solution.
            inverse = _inverted(ops.matmul(colors, transposed))
            kernel = ops.matmul(transposed, inverse)
        else:
            inverse = _inverted(ops.matmul(transposed, colors))
            kernel = ops.matmul(inverse, transposed)
        return ops.matmul(maskiges, kernel)


def _inverted(matrix):
    """Return the regularized inverse, finite for singular matrices."""
    return ops.inv(matrix + 1e-6 * ops.eye(matrix.shape[0]))
