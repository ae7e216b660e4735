"""Base class of the backbones."""

import keras
from keras import layers

from gss_keras.constants import STRIDES
from gss_keras.saving.presets import PresetMixin

# Mean and standard deviation of ImageNet's RGB channels, as the published
# PyTorch weights of Swin, ResNet-V1c and HRNet expect.
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_DEVIATION = (58.395, 57.12, 57.375)


class Backbone(PresetMixin, keras.Model):
    """Map photos to a feature pyramid; the base class of our backbones.

    A subclass creates and builds its layers in the constructor, ends that
    with `finish`, and implements `call`. In `call`, a feature map is freed as
    soon as no variable refers to it; a functional model would keep all of
    them until the last layer is done.

    The key of a level is its nominal stride: 4, 8, 16 or 32, the stride
    without dilation. `strides` gives the real ones, which differ from the
    keys only in a dilated `ResNetV1c`. Decoders that read the levels 4, 8, 16
    and 32 and resize them to one size, such as `LatentPrior`'s, thus take any
    backbone.

    Args:
        arguments: Dict of the subclass's own constructor arguments, for
            `get_config`.
        dtype: Name or policy of the layers' dtype, None for the global one.
        **kwargs: Passed to `keras.Model`.
    """

    def __init__(self, arguments, dtype=None, **kwargs):
        super().__init__(dtype=dtype, **kwargs)
        self._given_dtype = dtype
        self._arguments = arguments
        self._channels = {}

    def finish(self, channels, trainable):
        """Mark the model as built; to be called when all layers exist.

        Args:
            channels: Channels of the feature maps, finest first.
            trainable: Whether `fit` may update weights and batch statistics.
        """
        self._channels = dict(zip(STRIDES, channels, strict=True))
        self.trainable = trainable
        self.build((None, None, None, 3))

    @property
    def channels(self):
        """Dict from nominal stride to the channels of that feature map."""
        return dict(self._channels)

    @property
    def strides(self):
        """Dict from nominal stride to the real stride of that feature map."""
        return {level: level for level in self._channels}

    def build(self, input_shape):
        """Do nothing: the constructor has built all layers."""

    def compute_output_shape(self, input_shape):
        """Return the shape of each level, with sizes rounded up."""
        batch, *sizes, _ = input_shape
        return {
            level: (
                batch,
                *(size and -(-size // stride) for size in sizes),
                self._channels[level],
            )
            for level, stride in self.strides.items()
        }

    def get_config(self):
        """Return the constructor arguments as a JSON-serializable dict."""
        return {
            **self._arguments,
            # None stays None: a preset follows the policy of its user.
            "dtype": self._given_dtype and self.dtype_policy.name,
            "name": self.name,
            "trainable": self.trainable,
        }


def append_built(stack, layer, shape):
    """Build a layer and append it to a list.

    Args:
        stack: List of layers.
        layer: Layer to append.
        shape: Shape, or list of shapes, of its input.

    Returns:
        The shape, or shapes, of its output.
    """
    layer.build(shape)
    stack.append(layer)
    return layer.compute_output_shape(shape)


def run_blocks(x, blocks, levels, training=None):
    """Run blocks in sequence and collect the feature maps of some.

    Args:
        x: Input of the first block.
        blocks: List of layers.
        levels: Dict from the index of a block to the stride of its output.
        training: Whether the blocks are being trained.

    Returns:
        Dict from stride to feature map.
    """
    features = {}
    for index, block in enumerate(blocks):
        x = block(x, training=training)
        if index in levels:
            features[levels[index]] = x
    return features


def normalization(pixel_mean, pixel_deviation, dtype):
    """Return the layer that normalizes raw pixels, built.

    Args:
        pixel_mean: Means of red, green and blue, three floats.
        pixel_deviation: Standard deviations of red, green and blue, three
            positive floats.
        dtype: Name or policy of the layer's dtype, None for the global one.

    Returns:
        A `keras.layers.Rescaling` named `normalisation`.

    Raises:
        ValueError: If there are not three numbers, or a deviation is not
            positive.
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
    pairs = list(zip(pixel_mean, pixel_deviation, strict=True))
    layer = layers.Rescaling(
        [1 / deviation for _, deviation in pairs],
        offset=[-mean / deviation for mean, deviation in pairs],
        dtype=dtype,
        name="normalisation",
    )
    layer.build((None, None, None, 3))
    return layer
