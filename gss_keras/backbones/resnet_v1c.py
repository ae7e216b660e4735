"""ResNet-V1c, a residual network with a deep stem and dilated stages."""

import keras
from keras import ops

from gss_keras.backbones.backbone import (
    PIXEL_DEVIATION,
    PIXEL_MEAN,
    Backbone,
    append_built,
    normalization,
    run_blocks,
)
from gss_keras.backbones.residual import BottleneckBlock
from gss_keras.checks import check_count, check_counts
from gss_keras.constants import STRIDES
from gss_keras.layers.conv_norm import ConvNorm

# Blocks of each stage, from He et al., "Deep Residual Learning", table 1.
BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


@keras.saving.register_keras_serializable(package="gss_keras")
class ResNetV1c(Backbone):
    """ResNet-V1c: a feature pyramid of nominal strides 4, 8, 16 and 32.

    The stem, three 3x3 convolutions and 3x3 max pooling, has stride 4; four
    stages of residual bottleneck blocks follow. By default the last two
    stages are dilated instead of strided, so their feature maps stay at 1/8
    of the photo: the levels 16 and 32 of `channels` really have stride 8, as
    given in `strides`.

    Args:
        depth: 50, 101 or 152, the number of layers.
        stem_channels: Channels of the stem's last convolution; the first two
            have half as many.
        base_channels: Channels of the first stage's 3x3 convolutions; they
            double in every further stage.
        stage_strides: Stride of the first block of each stage.
        dilations: Dilation of the 3x3 convolutions of each stage.
        has_contracted_dilation: Whether the first block of a dilated stage
            has half the stage's dilation.
        pixel_mean: Means of red, green and blue, to normalize photos.
        pixel_deviation: Standard deviations of red, green and blue.
        dtype: Name or policy of the layers' dtype, None for the global one.
        trainable: Whether `fit` may update weights and batch statistics.
        **kwargs: `name` of the model.

    Call arguments:
        photos: Float or integer array `(batch, height, width, 3)`, raw RGB
            pixels 0-255, of any size. The model normalizes them.

    Returns:
        A dict from nominal stride (4, 8, 16 and 32) to a float feature map
        `(batch, ceil(height / stride), ceil(width / stride), channels)`, at
        least 0, where `stride` is the real one in `strides` and `channels`
        is `base_channels` times 4, 8, 16 and 32.

    Raises:
        ValueError: If an argument has the wrong length or range.

    Reference:
        He et al., "Bag of Tricks for Image Classification", CVPR 2019, for
        the stem; Chen et al., "Rethinking Atrous Convolution", arXiv
        1706.05587, for the dilation. The defaults are those of generative
        segmentation's ResNet-101.

    Example:
        >>> from gss_keras.backbones import ResNetV1c
        >>> backbone = ResNetV1c(50, stem_channels=8, base_channels=4)
        >>> backbone.channels
        {4: 16, 8: 32, 16: 64, 32: 128}
        >>> backbone.strides
        {4: 4, 8: 8, 16: 8, 32: 8}
    """

    def __init__(
        self,
        depth=101,
        stem_channels=64,
        base_channels=64,
        stage_strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
        has_contracted_dilation=True,
        pixel_mean=PIXEL_MEAN,
        pixel_deviation=PIXEL_DEVIATION,
        dtype=None,
        trainable=True,
        **kwargs,
    ):
        if depth not in BLOCKS:
            raise ValueError(
                f"`depth` must be one of {list(BLOCKS)}. "
                f"Received: depth={depth!r}"
            )
        stage_strides = check_counts(
            "stage_strides", stage_strides, len(STRIDES)
        )
        dilations = check_counts("dilations", dilations, len(STRIDES))
        check_count("stem_channels", stem_channels)
        check_count("base_channels", base_channels)
        arguments = {
            "depth": depth,
            "stem_channels": stem_channels,
            "base_channels": base_channels,
            "stage_strides": stage_strides,
            "dilations": dilations,
            "has_contracted_dilation": has_contracted_dilation,
            "pixel_mean": list(pixel_mean),
            "pixel_deviation": list(pixel_deviation),
        }
        super().__init__(arguments, dtype, **kwargs)
        self.normalisation = normalization(pixel_mean, pixel_deviation, dtype)
        self.stem = _make_stem(stem_channels, dtype)
        self.blocks, self._levels = [], {}
        shape = (None, None, None, stem_channels)
        for stage, (strides, dilation, blocks) in enumerate(
            zip(stage_strides, dilations, BLOCKS[depth], strict=True)
        ):
            is_contracted = has_contracted_dilation and dilation > 1
            first_dilation = dilation // 2 if is_contracted else dilation
            for index in range(blocks):
                block = BottleneckBlock(
                    base_channels * 2**stage,
                    1 if index else strides,
                    dilation if index else first_dilation,
                    dtype=dtype,
                    name=f"stage_{stage}_block_{index}",
                )
                shape = append_built(self.blocks, block, shape)
            # From the index of the last block of each level to its stride.
            self._levels[len(self.blocks) - 1] = STRIDES[stage]
        channels = [self.blocks[index].expanded for index in self._levels]
        self.finish(channels, trainable)

    def call(self, photos, training=None):
        x = self.normalisation(photos)
        for layer in self.stem:
            x = layer(x, training=training)
        # After a ReLU, padded zeros never win the maximum.
        x = ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
        x = ops.max_pool(x, 3, 2, data_format="channels_last")
        return run_blocks(x, self.blocks, self._levels, training)

    @property
    def strides(self):
        """Dict from nominal stride to the real stride of that feature map."""
        real, stride = {}, STRIDES[0]
        for level, strides in zip(
            STRIDES, self._arguments["stage_strides"], strict=True
        ):
            stride *= strides
            real[level] = stride
        return real


def _make_stem(channels, dtype):
    """Return the three 3x3 convolutions of the stem, built."""
    stem, shape = [], (None, None, None, 3)
    for index, (width, strides) in enumerate(
        ((channels // 2, 2), (channels // 2, 1), (channels, 1))
    ):
        layer = ConvNorm(width, 3, strides, dtype=dtype, name=f"stem_{index}")
        shape = append_built(stem, layer, shape)
    return stem
