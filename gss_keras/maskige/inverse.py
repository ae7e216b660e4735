"""The inverse mapping X^-1: a maskige is read back as class logits."""

import difflib

import keras
import numpy as np
from keras import ops

from gss_keras.layers.fusion import ProjectionBlock
from gss_keras.layers.window_attention import swin_blocks
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
        self._given_palette = palettes.as_config(palette)
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
        return {**super().get_config(), "palette": self._given_palette}


@keras.saving.register_keras_serializable(package="gss_keras")
class WindowInverse(keras.layers.Layer):
    """Reads the classes off with shifted-window attention: FT-W's inverse.

    A learned inverse that sees a pixel's surroundings, so that it can undo
    what the tokenizer and the prior blur. Colors are projected to features,
    mixed by blocks of window attention and classified, at the full
    resolution of the maskige.

    Args:
        num_classes: Number of classes.
        channels: Channels of the features; a multiple of `heads`.
        depth: Number of attention blocks; every second one shifts its
            windows.
        heads: Attention heads.
        window: Side of an attention window in pixels of the maskige.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        maskiges: Float `(batch, height, width, 3)` in `[0, 1]`.
        training: Whether batch statistics are used and updated.

    Returns:
        Float32 logits `(batch, height, width, num_classes)`.

    Reference:
        Chen et al., "Generative Semantic Segmentation", CVPR 2023, GSS-FT-W.
        The defaults are the release's for Cityscapes; for ADE20K and MSeg it
        has depth 2.
    """

    def __init__(
        self, num_classes, channels=128, depth=1, heads=4, window=7, **kwargs
    ):
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.sizes = {
            "channels": channels,
            "depth": depth,
            "heads": heads,
            "window": window,
        }
        dtype = self.dtype_policy
        self.projection = ProjectionBlock(
            channels, name="projection", dtype=dtype
        )
        self.blocks = swin_blocks(channels, depth, heads, window, dtype=dtype)
        self.norm = keras.layers.LayerNormalization(
            epsilon=1e-5, name="norm", dtype=dtype
        )
        self.classifier = keras.layers.Dense(
            num_classes, name="classifier", dtype="float32"
        )

    def build(self, input_shape):
        self.projection.build(input_shape)
        shape = (*input_shape[:-1], self.sizes["channels"])
        for layer in [*self.blocks, self.norm, self.classifier]:
            layer.build(shape)

    def call(self, maskiges, training=None):
        features = self.projection(maskiges, training=training)
        for block in self.blocks:
            features = block(features, training=training)
        return self.classifier(self.norm(features))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.num_classes)

    def get_config(self):
        config = super().get_config()
        return {**config, "num_classes": self.num_classes, **self.sizes}


def _window_inverse(palette):
    return WindowInverse(len(palettes.as_palette(palette)))


_INVERSES = {"nearest_color": NearestColorInverse, "window": _window_inverse}


def inverse_from(identifier, palette):
    """Finds the inverse mapping that a user asked for.

    Args:
        identifier: `"nearest_color"` (FF), `"window"` (FT-W), or a layer
            that maps maskiges `(batch, height, width, 3)` in `[0, 1]` to
            class logits.
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
    return _INVERSES[identifier](palette)
