"""Swin Transformer, a backbone of shifted-window attention."""

import keras
import numpy as np
from keras import layers, ops

from gss_keras.backbones.backbone import (
    PIXEL_DEVIATION,
    PIXEL_MEAN,
    Backbone,
    check_count,
    check_counts,
    open_photos,
)
from gss_keras.backbones.efficientnet_lite import STRIDES
from gss_keras.backbones.feature_pyramid import PadToMultiple
from gss_keras.layers.convolution import Conv2D
from gss_keras.layers.dense import Dense
from gss_keras.layers.window_attention import SwinBlock

# The sizes of the paper; windows are those of the published weights, which
# for base and large are pretrained at 384 x 384 on ImageNet-22k.
SIZES = {
    "tiny": {
        "width": 96,
        "depths": (2, 2, 6, 2),
        "heads": (3, 6, 12, 24),
        "window": 7,
    },
    "small": {
        "width": 96,
        "depths": (2, 2, 18, 2),
        "heads": (3, 6, 12, 24),
        "window": 7,
    },
    "base": {
        "width": 128,
        "depths": (2, 2, 18, 2),
        "heads": (4, 8, 16, 32),
        "window": 12,
    },
    "large": {
        "width": 192,
        "depths": (2, 2, 18, 2),
        "heads": (6, 12, 24, 48),
        "window": 12,
    },
}


@keras.saving.register_keras_serializable(package="gss_keras")
class SwinTransformer(Backbone):
    """Turns photos into feature maps of strides 4, 8, 16 and 32.

    Every 4 x 4 pixels become one position; blocks of window attention mix
    positions, first within windows, then within shifted ones; between two
    stages each 2 x 2 positions merge into one of twice the channels. Each
    level leaves through a layer norm of its own, while the next stage goes
    on from the map before it.

    Photos and maps of any size work: what does not fill a patch, a window or
    a merged position is filled with zeros below and on the right.

    Args:
        width: Channels of the first stage; doubled by every further one.
        depths: Number of blocks of each of the four stages.
        heads: Number of attention heads of each stage.
        window: Side of an attention window in positions.
        expansion: Hidden width of the perceptrons, in multiples of the
            channels.
        drop_path: Probability with which, in training, the last block leaves
            out a residual branch; it rises to that linearly from 0.
        pixel_mean: What is subtracted from red, green and blue.
        pixel_deviation: What red, green and blue are divided by then.
        dtype: Name or policy of the layers' types, None for the global one.
        trainable: Whether `fit` may change the weights.
        **kwargs: `name` of the model.

    Call arguments:
        photos: Float or integer array `(batch, height, width, 3)`, raw RGB
            pixels 0-255. Normalisation happens inside.

    Returns:
        A dict from stride (4, 8, 16 and 32) to a float feature map `(batch,
        ceil(height / stride), ceil(width / stride), width * stride / 4)`.

    Raises:
        ValueError: If an argument has the wrong length or range, or the
            channels of a stage are no multiple of its heads.

    Reference:
        Liu et al., "Swin Transformer", ICCV 2021.

    Example:
        >>> from gss_keras.backbones import SwinTransformer
        >>> SwinTransformer(width=12, depths=(1, 1, 1, 1)).channels
        {4: 12, 8: 24, 16: 48, 32: 96}
    """

    def __init__(
        self,
        width=96,
        depths=(2, 2, 6, 2),
        heads=(3, 6, 12, 24),
        window=7,
        expansion=4,
        drop_path=0.3,
        pixel_mean=PIXEL_MEAN,
        pixel_deviation=PIXEL_DEVIATION,
        dtype=None,
        trainable=True,
        **kwargs,
    ):
        check_count("width", width)
        check_count("window", window)
        check_count("expansion", expansion)
        depths = check_counts("depths", depths, len(STRIDES))
        heads = check_counts("heads", heads, len(STRIDES))
        if not 0 <= drop_path < 1:
            raise ValueError(
                "`drop_path` must be at least 0 and below 1. "
                f"Received: drop_path={drop_path}"
            )

        photos, x = open_photos(pixel_mean, pixel_deviation, dtype)
        x = PadToMultiple(STRIDES[0], dtype=dtype, name="pad")(x)
        x = Conv2D(
            width, STRIDES[0], STRIDES[0], dtype=dtype, name="patch_embedding"
        )(x)
        x = _normalize(x, "patch_norm", dtype)
        features, rates = {}, _drop_rates(drop_path, depths)
        for stage, stride in enumerate(STRIDES):
            if stage:
                x = PatchMerging(dtype=dtype, name=f"merging_{stage}")(x)
            for index, rate in enumerate(rates[stage]):
                x = SwinBlock(
                    x.shape[-1],
                    heads[stage],
                    hidden=expansion * x.shape[-1],
                    window=window,
                    shift=window // 2 if index % 2 else 0,
                    drop_path=rate,
                    dtype=dtype,
                    name=f"stage_{stage}_block_{index}",
                )(x)
            features[stride] = _normalize(x, f"level_norm_{stage}", dtype)
        arguments = {
            "width": width,
            "depths": depths,
            "heads": heads,
            "window": window,
            "expansion": expansion,
            "drop_path": drop_path,
            "pixel_mean": list(pixel_mean),
            "pixel_deviation": list(pixel_deviation),
        }
        super().__init__(
            photos, features, arguments, dtype, trainable, **kwargs
        )

    @classmethod
    def of_size(cls, size, **kwargs):
        """Builds one of the paper's models, with random weights.

        Args:
            size: "tiny", "small", "base" or "large". The paper of generative
                segmentation uses the large one.
            **kwargs: Further constructor arguments; they override the size's.

        Returns:
            A `SwinTransformer`.

        Raises:
            ValueError: If there is no such size.
        """
        if size not in SIZES:
            raise ValueError(
                f"`size` must be one of {list(SIZES)}. Received: size={size!r}"
            )
        return cls(**{**SIZES[size], **kwargs})


@keras.saving.register_keras_serializable(package="gss_keras")
class PatchMerging(layers.Layer):
    """Merges each 2 x 2 positions into one of twice the channels.

    The four positions' channels stand side by side, go through a layer norm
    and are projected to half their number. Maps of odd sizes are padded with
    zeros below and on the right.

    Args:
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        features: Float tensor `(batch, height, width, channels)`.

    Returns:
        Tensor `(batch, ceil(height / 2), ceil(width / 2), 2 * channels)`.

    Reference:
        Liu et al., "Swin Transformer", ICCV 2021, section 3.1. Positions are
        put side by side row by row; the original goes column by column, and
        mmsegmentation lets the position vary faster than the channel.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        dtype = self.dtype_policy
        self.pad = PadToMultiple(2, name="pad", dtype=dtype)
        self.norm = layers.LayerNormalization(
            epsilon=1e-5, name="norm", dtype=dtype
        )

    def build(self, input_shape):
        channels = input_shape[-1]
        self.reduction = Dense(
            2 * channels,
            use_bias=False,
            name="reduction",
            dtype=self.dtype_policy,
        )
        self.pad.build(input_shape)
        self.norm.build((*input_shape[:-1], 4 * channels))
        self.reduction.build((*input_shape[:-1], 4 * channels))

    def call(self, features):
        x = self.pad(features)
        _, height, width, channels = ops.shape(x)
        x = ops.reshape(x, (-1, height // 2, 2, width // 2, 2, channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        x = ops.reshape(x, (-1, height // 2, width // 2, 4 * channels))
        return self.reduction(self.norm(x))

    def compute_output_shape(self, input_shape):
        """Halves height and width where they are known."""
        batch, *sizes, channels = input_shape
        halves = (size and -(-size // 2) for size in sizes)
        return (batch, *halves, 2 * channels)


def _drop_rates(drop_path, depths):
    """Lists every block's rate by stage, rising linearly from 0."""
    rates = np.linspace(0.0, drop_path, sum(depths)).tolist()
    return [[rates.pop(0) for _ in range(depth)] for depth in depths]


def _normalize(x, name, dtype):
    return layers.LayerNormalization(epsilon=1e-5, dtype=dtype, name=name)(x)
