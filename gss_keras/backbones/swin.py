"""Swin Transformer, a backbone of shifted-window attention."""

import itertools

import keras
import numpy as np
from keras import layers, ops

from gss_keras.backbones.backbone import (
    PIXEL_DEVIATION,
    PIXEL_MEAN,
    Backbone,
    normalization,
)
from gss_keras.backbones.feature_pyramid import PadToMultiple
from gss_keras.checks import check_count, check_counts
from gss_keras.constants import STRIDES
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
    """Swin Transformer: a feature pyramid of strides 4, 8, 16 and 32.

    Patches of 4 x 4 pixels are embedded; Swin blocks attend within windows
    that are shifted in every second block; patch merging between two stages
    halves the resolution and doubles the channels. Each level has a layer
    norm of its own, which the next stage does not see.

    Photos of any size work: whatever does not fill a patch, a window or a
    merged position is padded with zeros below and on the right.

    Args:
        width: Channels of the first stage; doubled by every further one.
        depths: Number of blocks of each of the four stages.
        heads: Number of attention heads of each stage.
        window: Side of an attention window in positions.
        expansion: Hidden width of the MLPs, as a multiple of the channels.
        drop_path: Stochastic depth: probability with which, in training, the
            last block drops a residual branch. It rises linearly from 0 in
            the first block.
        pixel_mean: Means of red, green and blue, to normalize photos.
        pixel_deviation: Standard deviations of red, green and blue.
        dtype: Name or policy of the layers' dtype, None for the global one.
        trainable: Whether `fit` may update the weights.
        **kwargs: `name` of the model.

    Call arguments:
        photos: Float or integer array `(batch, height, width, 3)`, raw RGB
            pixels 0-255. The model normalizes them.

    Returns:
        A dict from stride (4, 8, 16 and 32) to a float feature map `(batch,
        ceil(height / stride), ceil(width / stride), width * stride / 4)`.

    Raises:
        ValueError: If an argument has the wrong length or range, or the
            channels of a stage are not a multiple of its heads.

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
        super().__init__(arguments, dtype, **kwargs)
        self.normalisation = normalization(pixel_mean, pixel_deviation, dtype)
        self.pad = PadToMultiple(STRIDES[0], dtype=dtype, name="pad")
        self.pad.build((None, None, None, 3))
        self.patch_embedding = Conv2D(
            width, STRIDES[0], STRIDES[0], dtype=dtype, name="patch_embedding"
        )
        self.patch_embedding.build((None, None, None, 3))
        self.patch_norm = _make_norm("patch_norm", width, dtype)
        self.mergings, self.blocks = [], []
        norms, widths, rates = [], [], _drop_rates(drop_path, depths)
        for stage in range(len(STRIDES)):
            if stage:
                merging = PatchMerging(dtype=dtype, name=f"merging_{stage}")
                merging.build((None, None, None, width))
                self.mergings.append(merging)
                width *= 2
            for index, rate in enumerate(rates[stage]):
                block = SwinBlock(
                    width,
                    heads[stage],
                    hidden=expansion * width,
                    window=window,
                    shift=window // 2 if index % 2 else 0,
                    drop_path=rate,
                    dtype=dtype,
                    name=f"stage_{stage}_block_{index}",
                )
                block.build((None, None, None, width))
                self.blocks.append(block)
            norms.append(_make_norm(f"level_norm_{stage}", width, dtype))
            widths.append(width)
        self.level_norms = norms
        self.finish(widths, trainable)

    def call(self, photos, training=None):
        x = self.embed_patches(photos)
        features, blocks = {}, iter(self.blocks)
        for stage, depth in enumerate(self._arguments["depths"]):
            if stage:
                x = self.mergings[stage - 1](x)
            for block in itertools.islice(blocks, depth):
                x = block(x, training=training)
            features[STRIDES[stage]] = self.level_norms[stage](x)
        return features

    def embed_patches(self, photos):
        """Embed patches of 4 x 4 pixels and normalize them.

        Args:
            photos: As in a call.

        Returns:
            Float tensor `(batch, ceil(height / 4), ceil(width / 4), width)`.
        """
        x = self.pad(self.normalisation(photos))
        return self.patch_norm(self.patch_embedding(x))

    @classmethod
    def of_size(cls, size, **kwargs):
        """Build one of the paper's models, with random weights.

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
    """Patch merging: halve the resolution, double the channels.

    The channels of each 2 x 2 positions are concatenated, layer-normalized
    and projected to half their number. Feature maps of odd sizes are padded
    with zeros below and on the right.

    Args:
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        features: Float tensor `(batch, height, width, channels)`.

    Returns:
        Tensor `(batch, ceil(height / 2), ceil(width / 2), 2 * channels)`.

    Reference:
        Liu et al., "Swin Transformer", ICCV 2021, section 3.1. Positions are
        concatenated row by row; the original goes column by column, and
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
        """Return half the height and width, rounded up."""
        batch, *sizes, channels = input_shape
        halves = (size and -(-size // 2) for size in sizes)
        return (batch, *halves, 2 * channels)


def _drop_rates(drop_path, depths):
    """Return every block's rate by stage, rising linearly from 0."""
    rates = np.linspace(0.0, drop_path, sum(depths)).tolist()
    return [[rates.pop(0) for _ in range(depth)] for depth in depths]


def _make_norm(name, channels, dtype):
    """Return a layer norm, built."""
    norm = layers.LayerNormalization(epsilon=1e-5, dtype=dtype, name=name)
    norm.build((None, None, None, channels))
    return norm
