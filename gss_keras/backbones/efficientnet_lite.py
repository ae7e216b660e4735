"""EfficientNet-Lite, a small convolutional backbone."""

import math

import keras
from keras import layers, ops

from gss_keras.backbones.backbone import (
    Backbone,
    append_built,
    normalization,
    run_blocks,
)
from gss_keras.constants import STRIDES
from gss_keras.layers.conv_norm import ConvNorm

# Pixel normalization of the official TensorFlow release of EfficientNet-Lite.
PIXEL_MEAN = 127.0
PIXEL_SCALE = 128.0
STEM_CHANNELS = 32
# (repeats, kernel size, stride, expansion, channels) of each stage at width
# and depth 1, from the official release.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)

# Of every convolution, from the official TensorFlow release.
_CONVENTIONS = {
    "padding": "same",
    "activation": "relu6",
    "momentum": 0.99,
    "epsilon": 1e-3,
}


@keras.saving.register_keras_serializable(package="gss_keras")
class EfficientNetLite(Backbone):
    """EfficientNet-Lite: a feature pyramid of strides 4, 8, 16 and 32.

    A stack of inverted residual blocks: 1x1 expansion, depthwise convolution,
    1x1 projection. It is the small pretrained backbone that runs on a laptop:
    `EfficientNetLite.from_preset("efficientnet_lite0")` has weights trained
    on ImageNet.

    Every convolution uses TensorFlow's "same" padding, so photos of any size
    work and a feature map has `ceil(size / stride)` rows and columns. With
    `trainable = False`, `fit` does not update the batch statistics either.

    The class is ours rather than KerasHub's so that TensorFlow is not needed
    to load a model saved with it: `pip install keras-hub` requires
    `tensorflow-text`, which requires `tensorflow`, on every backend.

    Args:
        width: Positive float. Scales the channels of all stages.
        depth: Positive float. Scales the blocks of all stages but the first
            and last. Lite0 to Lite4 have the pairs (1.0, 1.0), (1.0, 1.1),
            (1.1, 1.2), (1.2, 1.4) and (1.4, 1.8).
        frozen_stride: 4, 8, 16, 32 or None. Every layer up to the map of that
            stride is frozen, see `freeze_up_to`.
        dtype: Name or policy of the layers' dtype, None for the global one.
        trainable: Whether `fit` may update weights and batch statistics.
        **kwargs: `name` of the model.

    Call arguments:
        photos: Float or integer array `(batch, height, width, 3)`, raw RGB
            pixels 0-255. The model normalizes them.

    Returns:
        A dict from stride (4, 8, 16 and 32) to a float feature map
        `(batch, ceil(height / stride), ceil(width / stride), channels)`, the
        output of the last block of that stride: linear, of any sign.

    Raises:
        ValueError: If `width` or `depth` is not positive or `frozen_stride`
            is none of the strides.

    Reference:
        Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional
        Neural Networks", arXiv 1905.11946, and its Lite variants: no squeeze
        and excitation, ReLU6, a stem that does not scale. The classifier and
        the 1280 channels before it are left out, and so is stochastic depth.

    Example:
        >>> from gss_keras.backbones import EfficientNetLite
        >>> EfficientNetLite(width=0.5, depth=0.5).channels
        {4: 16, 8: 24, 16: 56, 32: 160}
    """

    def __init__(
        self,
        width=1.0,
        depth=1.0,
        frozen_stride=None,
        dtype=None,
        trainable=True,
        **kwargs,
    ):
        _check_positive("width", width)
        _check_positive("depth", depth)

        arguments = {"width": width, "depth": depth}
        super().__init__(arguments, dtype, **kwargs)
        self.normalisation = normalization(
            (PIXEL_MEAN,) * 3, (PIXEL_SCALE,) * 3, dtype
        )
        self.stem = ConvNorm(
            STEM_CHANNELS, 3, 2, name="stem", dtype=dtype, **_CONVENTIONS
        )
        self.stem.build((None, None, None, 3))
        self.blocks, lasts = [], {}
        shape, stride = (None, None, None, STEM_CHANNELS), self.stem.strides
        for index, (kernel_size, strides, expansion, channels) in enumerate(
            _plan_blocks(width, depth)
        ):
            block = InvertedResidualBlock(
                channels,
                kernel_size,
                strides,
                expansion,
                name=f"block_{index}",
                dtype=dtype,
            )
            shape = append_built(self.blocks, block, shape)
            stride *= strides
            # A later block of the same stride replaces an earlier one.
            lasts[stride] = index
        # From the index of the last block of each level to its stride.
        self._levels = {lasts[stride]: stride for stride in STRIDES}
        channels = [self.blocks[index].channels for index in self._levels]
        self.finish(channels, trainable)
        self.width = width
        self.depth = depth
        self.frozen_stride = None
        if frozen_stride is not None:
            self.freeze_up_to(frozen_stride)

    def call(self, photos, training=None):
        x = self.stem(self.normalisation(photos), training=training)
        return run_blocks(x, self.blocks, self._levels, training)

    def freeze_up_to(self, stride):
        """Freeze the early layers, weights and batch statistics.

        Early layers detect edges and colors, which hardly depend on the
        task, and their large feature maps make them the most expensive to
        train. Call this before the model that holds the backbone is compiled.

        Args:
            stride: 4, 8, 16 or 32. Everything up to the feature map of that
                stride is frozen, everything after it is trainable.

        Raises:
            ValueError: If `stride` is none of the strides.
        """
        if stride not in STRIDES:
            raise ValueError(
                f"`stride` must be one of {STRIDES}. Received: stride={stride}"
            )
        self.normalisation.trainable = self.stem.trainable = False
        is_early = True
        for index, block in enumerate(self.blocks):
            block.trainable = not is_early
            is_early = is_early and self._levels.get(index) != stride
        self.frozen_stride = stride

    def get_config(self):
        """Return the constructor arguments as a JSON-serializable dict."""
        return {**super().get_config(), "frozen_stride": self.frozen_stride}


@keras.saving.register_keras_serializable(package="gss_keras")
class InvertedResidualBlock(layers.Layer):
    """Inverted residual block: 1x1 expansion, depthwise conv, 1x1 projection.

    The input is added to the linear output where stride is 1 and the channels
    are the same.

    Args:
        channels: Output channels.
        kernel_size: Side of the depthwise kernel.
        strides: Stride of the depthwise convolution.
        expansion: Channels of the depthwise convolution, as a multiple of the
            input's; without a convolution for it if 1.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        features: Float tensor of shape `(batch, height, width, any)`.
        training: Whether batch statistics are used and updated.

    Returns:
        Tensor `(batch, ceil(height / strides), ceil(width / strides),
        channels)`.

    Reference:
        Sandler et al., "MobileNetV2: Inverted Residuals and Linear
        Bottlenecks", CVPR 2018.
    """

    def __init__(self, channels, kernel_size, strides=1, expansion=6, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        self.kernel_size = kernel_size
        self.strides = strides
        self.expansion = expansion

    def build(self, input_shape):
        width = self.expansion * input_shape[-1]
        common = {"dtype": self.dtype_policy, **_CONVENTIONS}
        self.expand = None
        if self.expansion != 1:
            self.expand = ConvNorm(width, 1, name="expand", **common)
            self.expand.build(input_shape)
        self.depthwise = ConvNorm(
            width,
            self.kernel_size,
            self.strides,
            is_depthwise=True,
            name="depthwise",
            **common,
        )
        self.depthwise.build((*input_shape[:-1], width))
        self.project = ConvNorm(
            self.channels, 1, name="project", **common | {"activation": None}
        )
        self.project.build((*input_shape[:-1], width))

    def call(self, features, training=None):
        x = features
        if self.expand:
            x = self.expand(x, training=training)
        x = self.depthwise(x, training=training)
        x = self.project(x, training=training)
        if self.strides != 1 or features.shape[-1] != self.channels:
            return x
        return ops.add(x, features)

    def compute_output_shape(self, input_shape):
        shape = self.depthwise.compute_output_shape(input_shape)
        return self.project.compute_output_shape(shape)

    def get_config(self):
        return {
            **super().get_config(),
            "channels": self.channels,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "expansion": self.expansion,
        }


def _check_positive(name, value):
    if not isinstance(value, int | float) or not value > 0:
        raise ValueError(
            f"Argument `{name}` must be a positive number. Received: "
            f"{name}={value}"
        )


def _plan_blocks(width, depth):
    """Return (kernel size, stride, expansion, channels) of every block."""
    blocks = []
    for index, (repeats, kernel, stride, expansion, channels) in enumerate(
        STAGES
    ):
        if 0 < index < len(STAGES) - 1:
            repeats = math.ceil(depth * repeats)
        channels = _round_channels(width * channels)
        blocks.append((kernel, stride, expansion, channels))
        blocks += [(kernel, 1, expansion, channels)] * (repeats - 1)
    return blocks


def _round_channels(channels, divisor=8):
    """Round to a multiple of `divisor`, down by at most a tenth."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded
