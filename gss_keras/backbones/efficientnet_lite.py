"""EfficientNet-Lite, a small convolutional backbone."""

import math
import random

import keras
import numpy as np
from keras import layers

from gss_keras.backbones.forgetful import Forgetful
from gss_keras.layers.convolution import Conv2D
from gss_keras.layers.depthwise import DepthwiseConv2D
from gss_keras.layers.normalization import BatchNormalization
from gss_keras.saving.presets import PresetMixin

STRIDES = (4, 8, 16, 32)
# The normalisation of the official TensorFlow release of EfficientNet-Lite.
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


@keras.saving.register_keras_serializable(package="gss_keras")
class EfficientNetLite(PresetMixin, Forgetful):
    """Turns photos into feature maps of strides 4, 8, 16 and 32.

    A chain of inverted residual blocks, each widening a pixel's channels,
    mixing them over a small neighborhood and narrowing them again. It exists
    here as the small pretrained backbone that runs on a laptop:
    `EfficientNetLite.from_preset("efficientnet_lite0")` holds weights trained
    on ImageNet.

    Every convolution pads as TensorFlow's `"same"` does, so photos of any
    size work and a map has `ceil(size / stride)` rows and columns. With
    `trainable = False` the batch statistics stay as they are, in `fit` too.

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
        dtype: Name or policy of the layers' types, None for the global one.
        trainable: Whether `fit` may change the weights and batch statistics.
        **kwargs: `name` of the model.

    Call arguments:
        photos: Float or integer array `(batch, height, width, 3)`, raw RGB
            pixels 0-255. Normalisation happens inside.

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

        photos = keras.Input((None, None, 3), name="photos")
        x = layers.Rescaling(
            1 / PIXEL_SCALE,
            offset=-PIXEL_MEAN / PIXEL_SCALE,
            dtype=dtype,
            name="normalisation",
        )(photos)
        x = _convolution(x, STEM_CHANNELS, 3, "stem", strides=2, dtype=dtype)
        features, stride = {}, 2
        for index, block in enumerate(_plan_blocks(width, depth)):
            x = _inverted_residual(x, *block, f"block_{index}", dtype)
            stride *= block[1]
            # A later block of the same stride replaces an earlier one.
            features[stride] = x
        features = {stride: features[stride] for stride in STRIDES}
        super().__init__(inputs=photos, outputs=features, **kwargs)

        # Keras' own constructor would not hand this on to the layers.
        self.trainable = trainable
        self.dtype_policy = keras.dtype_policies.get(dtype)
        self._given_dtype = dtype
        self.width = width
        self.depth = depth
        self.frozen_stride = None
        if frozen_stride is not None:
            self.freeze_up_to(frozen_stride)

    def freeze_up_to(self, stride):
        """Keep the early layers as they are, weights and batch statistics.

        What an early layer sees, edges and colors, hardly depends on the
        task, and its large maps make it the dearest to train. Call it before
        the model that holds the backbone is compiled.

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
        last = self.output[stride]._keras_history.operation
        is_early = True
        for layer in self.layers:
            layer.trainable = not is_early
            is_early = is_early and layer is not last
        self.frozen_stride = stride

    @property
    def channels(self):
        """Dict from stride to the channels of that feature map."""
        return {stride: map_.shape[-1] for stride, map_ in self.output.items()}

    def get_config(self):
        """Returns the constructor arguments as a JSON-serializable dict."""
        return {
            "width": self.width,
            "depth": self.depth,
            "frozen_stride": self.frozen_stride,
            # None stays None: a preset follows the policy of its user.
            "dtype": self._given_dtype and self.dtype_policy.name,
            "name": self.name,
            "trainable": self.trainable,
        }


@keras.saving.register_keras_serializable(package="gss_keras")
class FanOutNormal(keras.initializers.Initializer):
    """Draws kernels as the official release does, equally on every backend.

    NumPy draws them: JAX would compile one program for every new shape, which
    took 15 seconds for this backbone. `keras.utils.set_random_seed` governs
    the numbers.
    """

    def __call__(self, shape, dtype=None):
        """Returns a tensor of `shape` of normal numbers, mean 0."""
        scale = math.sqrt(2 / (math.prod(shape[:2]) * shape[-1]))
        generator = np.random.default_rng(random.getrandbits(64))
        values = scale * generator.standard_normal(shape, dtype="float32")
        return keras.ops.convert_to_tensor(values, dtype=dtype)


def _check_positive(name, value):
    if not isinstance(value, int | float) or not value > 0:
        raise ValueError(
            f"Argument `{name}` must be a positive number. Received: "
            f"{name}={value}"
        )


def _plan_blocks(width, depth):
    """Lists (kernel size, stride, expansion, channels) of every block."""
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
    """Rounds to a multiple of `divisor`, at most a tenth downwards."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def _inverted_residual(x, kernel, stride, expansion, channels, name, dtype):
    """Widens, mixes over a neighborhood, narrows; adds the input if it fits."""
    inputs, width = x, x.shape[-1]
    if expansion != 1:
        x = _convolution(x, expansion * width, 1, f"{name}_expand", dtype=dtype)
    x = DepthwiseConv2D(
        kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        depthwise_initializer=FanOutNormal(),
        dtype=dtype,
        name=f"{name}_depthwise_conv",
    )(x)
    x = _normalize(x, f"{name}_depthwise", dtype)
    x = _convolution(
        x, channels, 1, f"{name}_project", is_linear=True, dtype=dtype
    )
    if stride != 1 or width != channels:
        return x
    return layers.Add(dtype=dtype, name=f"{name}_add")([x, inputs])


def _convolution(
    x, channels, kernel, name, *, strides=1, is_linear=False, dtype
):
    x = Conv2D(
        channels,
        kernel,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer=FanOutNormal(),
        dtype=dtype,
        name=f"{name}_conv",
    )(x)
    return _normalize(x, name, dtype, is_linear)


def _normalize(x, name, dtype, is_linear=False):
    x = BatchNormalization(
        momentum=0.99, epsilon=1e-3, dtype=dtype, name=f"{name}_norm"
    )(x)
    if is_linear:
        return x
    return layers.ReLU(max_value=6.0, dtype=dtype, name=f"{name}_relu")(x)
