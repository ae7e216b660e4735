"""Inverse mappings X^-1 that follow from the colors: nothing to train."""

import keras
from keras import ops

from gss_keras.maskige import palettes
from gss_keras.ops.kernels import project


class ColorInverse(keras.layers.Layer):
    """An inverse that follows from the colors alone: nothing to train.

    A subclass computes logits in `score`. It has no weights and always
    computes in float32, since the margins of close colors are below what half
    precision resolves.

    Args:
        palette: Name of a palette or array-like `(num_classes, 3)` of
            distinct colors in 0-255.
        sharpness: Factor of the logits. It changes no answer, but how sure
            the softmax of the logits is.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        maskiges: Float `(batch, height, width, 3)` in `[0, 1]`.
        colors: Float `(num_classes, 3)` in `[0, 1]`, which take the place of
            the palette: those of a mapping that is being learned.

    Returns:
        Float32 logits `(batch, height, width, num_classes)`.

    Raises:
        ValueError: If the palette is no set of distinct colors, `sharpness`
            is not above 0 or the maskiges do not have three channels.
    """

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
        """Returns logits `(..., num_classes)`, before the sharpness."""
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
    """Returns the sharpness at which nearest colors have a margin.

    Args:
        palette: As for `NearestColorInverse`.
        margin: Float, nats by which a class's logit exceeds that of its
            nearest other in its own color, for the closest two colors.

    Returns:
        A Python float.

    Example:
        >>> round(sharpness_for([[0, 0, 0], [255, 0, 0]], margin=6.0), 3)
        6.0
    """
    # A single color has no other; the cube's diagonal will do.
    apart = palettes.smallest_distance(palettes.as_palette(palette))
    return margin / (min(apart, 442.0) / 255) ** 2


@keras.saving.register_keras_serializable(package="gss_keras")
class NearestColorInverse(ColorInverse):
    """Scores each class by how near its color is: the inverse of FF.

    The logit of class k for the color y of a pixel is
    `2 y.beta_k - |beta_k|^2`, with colors in [0, 1]: the negative squared
    distance up to a term that all classes share. So the best class is the
    nearest color, at the cost of one 1x1 convolution with bias. There is no
    class for the ignore color, hence it is never answered. Arguments as for
    `ColorInverse`.

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

    def score(self, maskiges, colors):
        kernel = 2 * ops.transpose(colors)
        return project(maskiges, kernel, -ops.sum(colors**2, axis=-1))


@keras.saving.register_keras_serializable(package="gss_keras")
class LeastSquaresInverse(ColorInverse):
    """Solves for the mask whose painting comes closest: the paper's inverse.

    A maskige is a one-hot mask times the colors beta (K x 3). Of all linear
    maps back, `(beta^T beta)^-1 beta^T` loses least in the sense of squares;
    its K outputs are the logits. For more than four classes it confuses
    colors that are exact: a color between others scores below them. Prefer
    the nearest color. Arguments as for `ColorInverse`.

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
        across = ops.transpose(colors)
        if self.num_classes < 3:
            # That matrix is singular; of all exact solutions the smallest.
            kernel = ops.matmul(across, _inverted(ops.matmul(colors, across)))
        else:
            kernel = ops.matmul(_inverted(ops.matmul(across, colors)), across)
        return ops.matmul(maskiges, kernel)


def _inverted(matrix):
    """Returns the inverse, large but finite where there is none."""
    return ops.inv(matrix + 1e-6 * ops.eye(matrix.shape[0]))
