"""HRNetV2, a backbone with a branch of high resolution throughout."""

import keras
from keras import layers, ops

from gss_keras.backbones.backbone import (
    PIXEL_DEVIATION,
    PIXEL_MEAN,
    Backbone,
    append_built,
    normalization,
)
from gss_keras.backbones.residual import BasicBlock, BottleneckBlock
from gss_keras.checks import check_count, check_counts
from gss_keras.constants import STRIDES
from gss_keras.layers.conv_norm import ConvNorm
from gss_keras.ops.backend import resize_bilinear

STEM_CHANNELS = 64


@keras.saving.register_keras_serializable(package="gss_keras")
class HRNetV2(Backbone):
    """HRNetV2: a feature pyramid of strides 4, 8, 16 and 32.

    A branch at 1/4 of the photo runs from the first to the last stage; each
    further stage adds one of half the resolution. Every module ends with
    multi-scale fusion: each branch adds all others, resampled to its size.

    Args:
        channels: Channels of the four branches, finest first. W18, W32 and
            W48 have 18, 32 and 48 in the first, double in each further one.
        modules: Number of modules of the second, third and fourth stage.
        blocks: Number of bottleneck blocks in the first stage, and of
            residual blocks of a branch in each module of the other three;
            one integer for all.
        first_channels: Channels of the 3x3 convolutions of the first stage.
        pixel_mean: Means of red, green and blue, to normalize photos.
        pixel_deviation: Standard deviations of red, green and blue.
        dtype: Name or policy of the layers' dtype, None for the global one.
        trainable: Whether `fit` may update weights and batch statistics.
        **kwargs: `name` of the model.

    Call arguments:
        photos: Float or integer array `(batch, height, width, 3)`, raw RGB
            pixels 0-255, of any size. The model normalizes them.

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

        arguments = {
            "channels": channels,
            "modules": modules,
            "blocks": blocks,
            "first_channels": first_channels,
            "pixel_mean": list(pixel_mean),
            "pixel_deviation": list(pixel_deviation),
        }
        super().__init__(arguments, dtype, **kwargs)
        self.normalisation = normalization(pixel_mean, pixel_deviation, dtype)
        self.stem, self.first_stage = [], []
        shape = (None, None, None, 3)
        for index in range(2):
            layer = ConvNorm(
                STEM_CHANNELS, 3, 2, name=f"stem_{index}", dtype=dtype
            )
            shape = append_built(self.stem, layer, shape)
        for index in range(blocks[0]):
            block = BottleneckBlock(
                first_channels, name=f"stage_0_block_{index}", dtype=dtype
            )
            shape = append_built(self.first_stage, block, shape)
        self.stages, shapes = [], [shape]
        for stage, count in enumerate(modules, start=1):
            transition = HRTransition(
                channels[: stage + 1],
                name=f"stage_{stage}_transition",
                dtype=dtype,
            )
            shapes = append_built(self.stages, transition, shapes)
            for index in range(count):
                module = HRModule(
                    blocks[stage],
                    name=f"stage_{stage}_module_{index}",
                    dtype=dtype,
                )
                append_built(self.stages, module, shapes)
        self.finish(channels, trainable)

    def call(self, photos, training=None):
        x = self.normalisation(photos)
        for layer in [*self.stem, *self.first_stage]:
            x = layer(x, training=training)
        branches = [x]
        del x
        for layer in self.stages:
            branches = layer(branches, training=training)
        return dict(zip(STRIDES, branches, strict=True))

    @classmethod
    def of_width(cls, width, **kwargs):
        """Build one of the paper's models, with random weights.

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
    """Upsample bilinearly by a factor, then to another feature map's size.

    The second step does nothing unless a size was rounded up on the way to
    the coarse feature map. Two steps are what the published networks were
    trained with: at such sizes, one step alone gives other values.

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
        """Return the fine feature map's height and width."""
        return (*fine_shape[:-1], coarse_shape[-1])

    def get_config(self):
        """Return the constructor arguments as a JSON-serializable dict."""
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable(package="gss_keras")
class HRTransition(layers.Layer):
    """HRNet transition: 3x3 convolutions to new channels, and a new branch.

    The new branch is the coarsest, at half the size of the last one.

    Args:
        channels: Channels of the branches, finest first; one more than there
            are, or as many.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        branches: List of float tensors `(batch, height, width, any)`, finest
            first.
        training: Whether batch statistics are used and updated.

    Returns:
        List of tensors of these channels. A branch that has them already is
        returned unchanged.
    """

    def __init__(self, channels, **kwargs):
        super().__init__(**kwargs)
        self.channels = list(channels)

    def build(self, input_shape):
        self.convs = []
        for index, width in enumerate(self.channels):
            is_new = index == len(input_shape)
            shape = input_shape[-1] if is_new else input_shape[index]
            if not is_new and shape[-1] == width:
                self.convs.append(None)
                continue
            conv = ConvNorm(
                width,
                3,
                2 if is_new else 1,
                name=str(index),
                dtype=self.dtype_policy,
            )
            append_built(self.convs, conv, shape)

    def call(self, branches, training=None):
        inputs = [*branches, branches[-1]]
        return [
            conv(x, training=training) if conv else x
            for conv, x in zip(self.convs, inputs, strict=False)
        ]

    def compute_output_shape(self, input_shape):
        inputs = [*input_shape, input_shape[-1]]
        return [
            conv.compute_output_shape(shape) if conv else shape
            for conv, shape in zip(self.convs, inputs, strict=False)
        ]

    def get_config(self):
        return {**super().get_config(), "channels": list(self.channels)}


@keras.saving.register_keras_serializable(package="gss_keras")
class HRModule(layers.Layer):
    """HRNet module: basic blocks in each branch, then multi-scale fusion.

    Args:
        blocks: Number of basic blocks of each branch.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        branches: List of float tensors `(batch, height, width, channels)`,
            finest first, each of half the size of the one before.
        training: Whether batch statistics are used and updated.

    Returns:
        List of tensors of the same shapes, at least 0.
    """

    def __init__(self, blocks, **kwargs):
        super().__init__(**kwargs)
        self.blocks = blocks

    def build(self, input_shape):
        dtype = self.dtype_policy
        # All blocks of the first branch, then those of the second.
        self.basic_blocks, self.fusions = [], []
        for branch, shape in enumerate(input_shape):
            for index in range(self.blocks):
                name = f"branch_{branch}_block_{index}"
                block = BasicBlock(name=name, dtype=dtype)
                append_built(self.basic_blocks, block, shape)
        for target in range(len(input_shape)):
            # The names of its convolutions tell it from the others.
            fusion = BranchFusion(target, name="fuse", dtype=dtype)
            append_built(self.fusions, fusion, input_shape)

    def call(self, branches, training=None):
        branches = list(branches)
        for index, block in enumerate(self.basic_blocks):
            branch = index // self.blocks
            branches[branch] = block(branches[branch], training=training)
        return [fusion(branches, training=training) for fusion in self.fusions]

    def compute_output_shape(self, input_shape):
        return list(input_shape)

    def get_config(self):
        return {**super().get_config(), "blocks": self.blocks}


@keras.saving.register_keras_serializable(package="gss_keras")
class BranchFusion(layers.Layer):
    """Sum of all branches, resampled to one of them, and ReLU.

    Args:
        target: Index of the branch that the others are resampled to.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        branches: List of float tensors `(batch, height, width, channels)`,
            finest first.
        training: Whether batch statistics are used and updated.

    Returns:
        Tensor of the shape of the target branch, at least 0.
    """

    def __init__(self, target, **kwargs):
        super().__init__(**kwargs)
        self.target = target

    def build(self, input_shape):
        self.resamplings = []
        for source, shape in enumerate(input_shape):
            if source == self.target:
                self.resamplings.append(None)
                continue
            resampling = BranchResampling(
                input_shape[self.target][-1],
                self.target - source,
                name=f"{source}_to_{self.target}",
                dtype=self.dtype_policy,
            )
            resampling.build(shape)
            self.resamplings.append(resampling)

    def call(self, branches, training=None):
        own, total = branches[self.target], None
        for x, resampling in zip(branches, self.resamplings, strict=True):
            if resampling:
                x = resampling(x, own, training=training)
            total = x if total is None else ops.add(total, x)
            del x  # before the activation needs memory
        return ops.relu(total)

    def compute_output_shape(self, input_shape):
        return input_shape[self.target]

    def get_config(self):
        return {**super().get_config(), "target": self.target}


@keras.saving.register_keras_serializable(package="gss_keras")
class BranchResampling(layers.Layer):
    """Resample a branch to the channels and size of another one.

    A finer branch is downsampled by 3x3 convolutions of stride 2, with ReLU
    between them. A coarser one is projected by a 1x1 convolution and
    upsampled bilinearly.

    Args:
        channels: Output channels.
        levels: How much coarser the other branch is, as a power of 2:
            negative for a finer one, never 0.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        features: Float tensor `(batch, height, width, any)`.
        like: The other branch, `(batch, other height, other width, channels)`.
        training: Whether batch statistics are used and updated.

    Returns:
        Tensor of the shape of `like`, of any sign.
    """

    def __init__(self, channels, levels, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        self.levels = levels
        self.upsample = None
        if levels < 0:
            self.upsample = UpsampleTo(
                2**-levels, name="upsample", dtype=self.dtype_policy
            )
            self.upsample.built = True

    def build(self, features_shape, like_shape=None):
        del like_shape  # known but for the channels
        self.convs, shape = [], features_shape
        if self.upsample:
            conv = ConvNorm(
                self.channels,
                1,
                activation=None,
                name="conv_0",
                dtype=self.dtype_policy,
            )
            append_built(self.convs, conv, shape)
        for step in range(self.levels):
            is_last = step == self.levels - 1
            conv = ConvNorm(
                self.channels if is_last else shape[-1],
                3,
                2,
                activation=None if is_last else "relu",
                name=f"conv_{step}",
                dtype=self.dtype_policy,
            )
            shape = append_built(self.convs, conv, shape)

    def call(self, features, like, training=None):
        x = features
        for conv in self.convs:
            x = conv(x, training=training)
        return self.upsample(x, like) if self.upsample else x

    def compute_output_shape(self, features_shape, like_shape):
        del features_shape
        return like_shape

    def get_config(self):
        return {
            **super().get_config(),
            "channels": self.channels,
            "levels": self.levels,
        }
