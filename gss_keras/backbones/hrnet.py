"""HRNetV2, a backbone that keeps a map of high resolution throughout."""

import keras
from keras import layers, ops

from gss_keras.backbones.backbone import (
    PIXEL_DEVIATION,
    PIXEL_MEAN,
    Backbone,
    check_count,
    check_counts,
    open_photos,
)
from gss_keras.backbones.convolution import (
    ConvolutionBlock,
    add_and_cut,
    basic_block,
    bottleneck_block,
)
from gss_keras.backbones.efficientnet_lite import STRIDES
from gss_keras.ops.backend import resize_bilinear

STEM_CHANNELS = 64


@keras.saving.register_keras_serializable(package="gss_keras")
class HRNetV2(Backbone):
    """Turns photos into feature maps of strides 4, 8, 16 and 32.

    A branch at 1/4 of the photo runs from start to end; from stage to stage
    one of half the resolution joins. At the end of every module each branch
    receives what all the others found, resized to its own size.

    Args:
        channels: Channels of the four branches, finest first. W18, W32 and
            W48 have 18, 32 and 48 in the first, double in each further one.
        modules: Number of modules of the second, third and fourth stage.
        blocks: Number of bottleneck blocks in the first stage, and of
            residual blocks of a branch in each module of the other three;
            one integer for all.
        first_channels: Channels of the 3x3 convolutions of the first stage.
        pixel_mean: What is subtracted from red, green and blue.
        pixel_deviation: What red, green and blue are divided by then.
        dtype: Name or policy of the layers' types, None for the global one.
        trainable: Whether `fit` may change the weights and batch statistics.
        **kwargs: `name` of the model.

    Call arguments:
        photos: Float or integer array `(batch, height, width, 3)`, raw RGB
            pixels 0-255, of any size. Normalisation happens inside.

    Returns:
        A dict from stride (4, 8, 16 and 32) to a float feature map `(batch,
        ceil(height / stride), ceil(width / stride), channels)`, at least 0.

    Raises:
        ValueError: If an argument has the wrong length or range.

    Reference:
        Wang et al., "Deep High-Resolution Representation Learning for Visual
        Recognition", arXiv 1908.07919.

    Example:
        >>> from gss_keras.backbones import HRNetV2
        >>> HRNetV2((4, 8, 16, 32), modules=(1, 1, 1), blocks=1).channels
        {4: 4, 8: 8, 16: 16, 32: 32}
    """

    def __init__(
        self,
        channels=(48, 96, 192, 384),
        modules=(1, 4, 3),
        blocks=4,
        first_channels=64,
        pixel_mean=PIXEL_MEAN,
        pixel_deviation=PIXEL_DEVIATION,
        dtype=None,
        trainable=True,
        **kwargs,
    ):
        channels = check_counts("channels", channels, len(STRIDES))
        modules = check_counts("modules", modules, len(STRIDES) - 1)
        if not isinstance(blocks, list | tuple):
            check_count("blocks", blocks)
            blocks = [blocks] * len(STRIDES)
        blocks = check_counts("blocks", blocks, len(STRIDES))
        check_count("first_channels", first_channels)

        photos, x = open_photos(pixel_mean, pixel_deviation, dtype)
        for index in range(2):
            x = ConvolutionBlock(
                STEM_CHANNELS, 3, 2, dtype=dtype, name=f"stem_{index}"
            )(x)
        for index in range(blocks[0]):
            x = bottleneck_block(
                x, first_channels, f"stage_0_block_{index}", dtype=dtype
            )
        branches = [x]
        for stage, count in enumerate(modules, start=1):
            branches = _open_branch(branches, channels, stage, dtype)
            for module in range(count):
                branches = _run_module(
                    branches,
                    blocks[stage],
                    f"stage_{stage}_module_{module}",
                    dtype,
                )
        arguments = {
            "channels": channels,
            "modules": modules,
            "blocks": blocks,
            "first_channels": first_channels,
            "pixel_mean": list(pixel_mean),
            "pixel_deviation": list(pixel_deviation),
        }
        features = dict(zip(STRIDES, branches, strict=True))
        super().__init__(
            photos, features, arguments, dtype, trainable, **kwargs
        )

    @classmethod
    def of_width(cls, width, **kwargs):
        """Builds one of the paper's models, with random weights.

        Args:
            width: Channels of the finest branch; 18, 32 and 48 in the paper.
            **kwargs: Further constructor arguments.

        Returns:
            An `HRNetV2`.

        Raises:
            ValueError: If `width` is no positive integer.
        """
        check_count("width", width)
        return cls([width * 2**index for index in range(4)], **kwargs)


@keras.saving.register_keras_serializable(package="gss_keras")
class UpsampleTo(layers.Layer):
    """Enlarges a map by a factor and then to the size of another map.

    The second step does nothing unless a size was rounded up on the way to
    the coarse map. Both are bilinear, one after the other as in the networks
    that were trained: at such sizes, one step alone gives other numbers.

    Args:
        factor: Integer factor of height and width.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        coarse: Float tensor `(batch, height, width, channels)`.
        fine: Tensor `(batch, fine height, fine width, any)`.

    Returns:
        Tensor `(batch, fine height, fine width, channels)`.
    """

    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, coarse, fine):
        enlarged = tuple(n * self.factor for n in ops.shape(coarse)[1:3])
        wanted = tuple(ops.shape(fine)[1:3])
        x = resize_bilinear(coarse, *enlarged)
        are_known = all(isinstance(n, int) for n in (*enlarged, *wanted))
        if are_known and enlarged == wanted:
            return x
        return resize_bilinear(x, *wanted)

    def compute_output_shape(self, coarse_shape, fine_shape):
        """Takes height and width of the fine map."""
        return (*fine_shape[:-1], coarse_shape[-1])

    def get_config(self):
        """Returns the constructor arguments as a JSON-serializable dict."""
        return {**super().get_config(), "factor": self.factor}


def _open_branch(branches, channels, stage, dtype):
    """Brings the branches to their channels and adds one of half the size."""
    opened = []
    for index, width in enumerate(channels[: stage + 1]):
        is_new = index == len(branches)
        x = branches[-1] if is_new else branches[index]
        if is_new or x.shape[-1] != width:
            x = ConvolutionBlock(
                width,
                3,
                2 if is_new else 1,
                dtype=dtype,
                name=f"stage_{stage}_transition_{index}",
            )(x)
        opened.append(x)
    return opened


def _run_module(branches, blocks, name, dtype):
    """Runs every branch for itself, then exchanges what they found."""
    branches = list(branches)
    for branch in range(len(branches)):
        for index in range(blocks):
            branches[branch] = basic_block(
                branches[branch], f"{name}_branch_{branch}_block_{index}", dtype
            )
    fused = []
    for to, own in enumerate(branches):
        received = [
            _send(x, own, start, to, f"{name}_fuse_{start}_to_{to}", dtype)
            for start, x in enumerate(branches)
        ]
        fused.append(add_and_cut(received, f"{name}_fuse_{to}", dtype))
    return fused


def _send(x, own, start, to, name, dtype):
    """Brings a branch's map to the shape of another branch's."""
    width = own.shape[-1]
    if start > to:
        x = ConvolutionBlock(
            width, 1, is_linear=True, dtype=dtype, name=f"{name}_conv_0"
        )(x)
        return UpsampleTo(
            2 ** (start - to), dtype=dtype, name=f"{name}_upsample"
        )(x, own)
    for step in range(to - start):
        is_last = step == to - start - 1
        x = ConvolutionBlock(
            width if is_last else x.shape[-1],
            3,
            2,
            is_linear=is_last,
            dtype=dtype,
            name=f"{name}_conv_{step}",
        )(x)
    return x
