"""The mapping X: paint a mask as an image, the maskige."""

import keras
import numpy as np
from keras import ops

from gss_keras.constants import IGNORE_LABEL
from gss_keras.maskige import palettes


@keras.saving.register_keras_serializable(package="gss_keras")
class MaskigeMapping(keras.layers.Layer):
    """Paint every pixel of a mask in the color of its class.

    This is the linear map from one-hot masks to colors: an embedding lookup
    for class ids, a matrix product for class probabilities, both
    differentiable in the colors. It always computes in float32 and has no
    weights unless the colors are learned.

    Args:
        palette: Name of a palette or array-like `(num_classes, 3)` of
            distinct colors in 0-255; at most 255 classes, since id 255 means
            ignore.
        ignore_color: Three numbers in 0-255, the color of ignored pixels.
        is_learned: Whether the colors are trainable weights, initialized
            with the palette and constrained to the RGB cube.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        masks: Either int ids `(batch, height, width)`, where 255 and any
            other id outside the palette is painted in the ignore color; or
            float class probabilities `(batch, height, width, num_classes)`
            in `[0, 1]`, where the remainder to 1 is weighted with the ignore
            color.

    Returns:
        Maskiges, float32 `(batch, height, width, 3)` in `[0, 1]`.

    Raises:
        ValueError: If the palette or the ignore color is no set of colors,
            or the masks have another rank or dtype.

    Reference:
        Section 3.2 of the paper, where the matrix of colors is called beta.

    Example:
        >>> mapping = MaskigeMapping([[255, 0, 0], [0, 0, 255]])
        >>> keras.ops.convert_to_numpy(mapping(np.array([[[1, 255]]])))
        array([[[[0., 0., 1.],
                 [0., 0., 0.]]]], dtype=float32)
    """

    def __init__(
        self, palette, ignore_color=(0, 0, 0), is_learned=False, **kwargs
    ):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.given_palette = palettes.as_palette(palette)
        if self.num_classes > IGNORE_LABEL:
            raise ValueError(
                f"`palette` must hold at most {IGNORE_LABEL} colors, since "
                f"id {IGNORE_LABEL} means ignore. "
                f"Received: {self.num_classes} colors"
            )
        self.ignore_color = _as_color(ignore_color)
        self.is_learned = is_learned
        self._learned_colors = None

    def build(self, input_shape=None):
        del input_shape
        if self.is_learned:
            self._learned_colors = self.add_weight(
                self.given_palette.shape,
                keras.initializers.Constant(self.given_palette / 255),
                constraint=InRGBCube(),
                name="colors",
            )

    @property
    def num_classes(self):
        """Number of classes, an int."""
        return len(self.given_palette)

    @property
    def colors(self):
        """The colors as a tensor: float32 `(num_classes, 3)` in [0, 1]."""
        if self._learned_colors is not None:
            return ops.convert_to_tensor(self._learned_colors)
        return ops.convert_to_tensor(self.given_palette / 255, "float32")

    @property
    def palette(self):
        """The current colors: float32 `(num_classes, 3)`, 0-255."""
        if self._learned_colors is None:
            return self.given_palette
        return 255 * ops.convert_to_numpy(self._learned_colors)

    @palette.setter
    def palette(self, palette):
        """Set the colors of a learned mapping, as `palettes.as_palette`."""
        self._learned_colors.assign(palettes.as_palette(palette) / 255)

    def call(self, masks):
        self._check(masks)
        # The last row is the color of every id outside the palette.
        ignored = ops.convert_to_tensor(self.ignore_color[None] / 255)
        rows = ops.concatenate([self.colors, ignored], axis=0)
        if _is_integer(masks):
            ids = ops.cast(masks, "int32")
            is_class = ops.logical_and(ids >= 0, ids < self.num_classes)
            return ops.take(
                rows, ops.where(is_class, ids, self.num_classes), axis=0
            )
        missing = 1 - ops.sum(masks, axis=-1, keepdims=True)
        return ops.matmul(masks, rows[:-1]) + missing * rows[-1]

    def compute_output_shape(self, input_shape):
        return (*input_shape[:3], 3)

    def compute_output_spec(self, masks):
        self._check(masks)
        shape = self.compute_output_shape(masks.shape)
        return keras.KerasTensor(shape, self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "palette": self.given_palette.tolist(),
            "ignore_color": self.ignore_color.tolist(),
            "is_learned": self.is_learned,
        }

    def _check(self, masks):
        shape = tuple(masks.shape)
        dtype = keras.backend.standardize_dtype(masks.dtype)
        is_valid = (
            len(shape) == 3
            if _is_integer(masks)
            else len(shape) == 4 and shape[-1] == self.num_classes
        )
        if not is_valid:
            raise ValueError(
                "`masks` must be int ids `(batch, height, width)` or float "
                "probabilities `(batch, height, width, num_classes)` with "
                f"num_classes={self.num_classes}. Received: masks of shape "
                f"{shape} and dtype {dtype}"
            )


@keras.saving.register_keras_serializable(package="gss_keras")
class InRGBCube(keras.constraints.Constraint):
    """Clip colors to the RGB cube, [0, 1] per channel."""

    def __call__(self, colors):
        return ops.clip(colors, 0.0, 1.0)


def _is_integer(masks):
    return "int" in keras.backend.standardize_dtype(masks.dtype)


def _as_color(color):
    color = palettes.as_numbers(color, "ignore_color")
    if color.shape != (3,) or not np.all((color >= 0) & (color <= 255)):
        raise ValueError(
            "`ignore_color` must be three numbers in 0-255. "
            f"Received: ignore_color={color.tolist()}"
        )
    return color
