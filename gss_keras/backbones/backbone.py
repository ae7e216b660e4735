"""What the backbones of larger models have in common."""

import keras
from keras import layers

from gss_keras.backbones.forgetful import Forgetful
from gss_keras.saving.presets import PresetMixin

# The normalisation of ImageNet photos, per channel of RGB, that the published
# PyTorch weights of Swin, ResNet-V1c and HRNet expect.
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_DEVIATION = (58.395, 57.12, 57.375)


class Backbone(PresetMixin, Forgetful):
    """Turns photos into a dict of feature maps; the base of our backbones.

    A subclass builds its layers from `open_photos` on and hands the symbolic
    input and outputs over, together with its own arguments, which make up the
    config.

    The key of a level is its nominal stride: 4, 8, 16 or 32, the stride it has
    where nothing is dilated. `strides` tells the real ones, which differ from
    the keys only in a dilated `ResNetV1c`. So whatever reads the levels 4, 8,
    16 and 32 and brings them to one size, such as `LatentPrior`, reads every
    backbone alike.

    Args:
        photos: Symbolic input of shape `(batch, None, None, 3)`.
        features: Dict from nominal stride to symbolic feature map.
        arguments: Dict of the subclass's own constructor arguments.
        dtype: Name or policy of the layers' types, None for the global one.
        trainable: Whether `fit` may change the weights and batch statistics.
        **kwargs: `name` of the model.
    """

    def __init__(
        self, photos, features, arguments, dtype=None, trainable=True, **kwargs
    ):
        super().__init__(inputs=photos, outputs=features, **kwargs)
        # Keras' own constructor would not hand this on to the layers.
        self.trainable = trainable
        self.dtype_policy = keras.dtype_policies.get(dtype)
        self._given_dtype = dtype
        self._arguments = arguments

    @property
    def channels(self):
        """Dict from nominal stride to the channels of that feature map."""
        return {level: map_.shape[-1] for level, map_ in self.output.items()}

    @property
    def strides(self):
        """Dict from nominal stride to the real stride of that feature map."""
        return {level: level for level in self.output}

    def get_config(self):
        """Returns the constructor arguments as a JSON-serializable dict."""
        return {
            **self._arguments,
            # None stays None: a preset follows the policy of its user.
            "dtype": self._given_dtype and self.dtype_policy.name,
            "name": self.name,
            "trainable": self.trainable,
        }


def open_photos(pixel_mean, pixel_deviation, dtype):
    """Starts a functional model with photos and their normalisation.

    Args:
        pixel_mean: Three floats that are subtracted from red, green and blue.
        pixel_deviation: Three positive floats to divide them by.
        dtype: Name or policy of the layer's types, None for the global one.

    Returns:
        The symbolic photos, raw pixels 0-255, and what becomes of them.

    Raises:
        ValueError: If there are not three numbers, or one to divide by is
            not positive.
    """
    for name, values in (
        ("pixel_mean", pixel_mean),
        ("pixel_deviation", pixel_deviation),
    ):
        if len(values) != 3:
            raise ValueError(
                f"`{name}` must be three numbers, one for each of red, green "
                f"and blue. Received: {name}={values}"
            )
    if not min(pixel_deviation) > 0:
        raise ValueError(
            "`pixel_deviation` must be positive. "
            f"Received: pixel_deviation={pixel_deviation}"
        )
    photos = keras.Input((None, None, 3), name="photos")
    pairs = list(zip(pixel_mean, pixel_deviation, strict=True))
    pixels = layers.Rescaling(
        [1 / deviation for _, deviation in pairs],
        offset=[-mean / deviation for mean, deviation in pairs],
        dtype=dtype,
        name="normalisation",
    )(photos)
    return photos, pixels


def check_count(name, value):
    """Checks a positive integer.

    Args:
        name: Name of the argument.
        value: The value that was given.

    Raises:
        ValueError: If it is anything else.
    """
    if not isinstance(value, int) or value < 1:
        raise ValueError(
            f"`{name}` must be a positive integer. Received: {name}={value!r}"
        )


def check_counts(name, values, length):
    """Checks a list of positive integers, such as the blocks of each stage.

    Args:
        name: Name of the argument.
        values: The value that was given.
        length: How many there must be.

    Returns:
        The values as a list.

    Raises:
        ValueError: If they are anything else.
    """
    if (
        not isinstance(values, list | tuple)
        or len(values) != length
        or not all(isinstance(v, int) and v > 0 for v in values)
    ):
        raise ValueError(
            f"`{name}` must be a list of {length} positive integers. "
            f"Received: {name}={values!r}"
        )
    return list(values)
