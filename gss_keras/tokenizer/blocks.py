"""Building blocks of the discrete VAE: residual blocks, pooling, embedding."""

import keras
from keras import ops

from gss_keras.layers.convolution import Conv2D
from gss_keras.ops.backend import add_scaled, max_pool_2x2
from gss_keras.ops.upsampling import convolve_upsampled, upsample


@keras.saving.register_keras_serializable(package="gss_keras")
class ResidualBlock(keras.layers.Layer):
    """Apply a pre-activation bottleneck residual block of four convolutions.

    The bottleneck has a quarter of the output's channels. The residual branch
    is scaled by a small constant, so that a deep stack starts near the
    identity.

    Args:
        filters: int, a multiple of 4. Number of output channels.
        kernel_sizes: four ints. Kernel sizes of the convolutions, in order.
        gain: float. Constant factor of the residual branch.
        is_upsampling: bool. Whether the input is upsampled by a factor of 2
            first, nearest neighbor. The first kernel sizes must be 1 and 3:
            these convolutions are computed at low resolution, with the same
            result at half the FLOPs or less.

    Raises:
        ValueError: If `filters` is not a positive multiple of 4,
            `kernel_sizes` does not hold four sizes, or they do not begin with
            1 and 3 although `is_upsampling` is set.

    Example:
    >>> block = ResidualBlock(8, kernel_sizes=(3, 3, 3, 1), gain=0.1)
    >>> tuple(block(keras.ops.zeros((1, 6, 5, 4))).shape)
    (1, 6, 5, 8)

    Reference:
        - [DALL-E's discrete VAE](https://arxiv.org/abs/2102.12092)
    """

    def __init__(
        self, filters, kernel_sizes, gain, is_upsampling=False, **kwargs
    ):
        if filters < 4 or filters % 4:
            raise ValueError(
                "`filters` must be a positive multiple of 4. "
                f"Received: filters={filters}"
            )
        if len(kernel_sizes) != 4:
            raise ValueError(
                "`kernel_sizes` must hold four sizes. "
                f"Received: kernel_sizes={kernel_sizes}"
            )
        if is_upsampling and tuple(kernel_sizes[:2]) != (1, 3):
            raise ValueError(
                "`kernel_sizes` must begin with 1 and 3 if `is_upsampling` "
                f"is set. Received: kernel_sizes={kernel_sizes}"
            )
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_sizes = tuple(kernel_sizes)
        self.gain = gain
        self.is_upsampling = is_upsampling
        widths = [filters // 4] * 3 + [filters]
        self.convolutions = [
            Conv2D(width, size, padding="same", name=f"conv_{i}")
            for i, (width, size) in enumerate(
                zip(widths, self.kernel_sizes, strict=True), start=1
            )
        ]
        self.shortcut = None

    @property
    def receptive_radius(self):
        """Radius of the receptive field, in positions of the output."""
        return sum(size // 2 for size in self.kernel_sizes)

    def build(self, input_shape):
        """Build the convolutions, and a 1x1 shortcut if channels change."""
        if input_shape[-1] != self.filters:
            self.shortcut = Conv2D(self.filters, 1, name="shortcut")
            self.shortcut.build(input_shape)
        shape = tuple(input_shape)
        for convolution in self.convolutions:
            convolution.build(shape)
            shape = (*shape[:-1], convolution.filters)

    def call(self, inputs):
        """Return `shortcut(inputs) + gain * branch(inputs)`."""
        skip = inputs if self.shortcut is None else self.shortcut(inputs)
        branch, convolutions = inputs, self.convolutions
        if self.is_upsampling:
            skip = upsample(skip)
            pointwise, convolution, *convolutions = convolutions
            branch = ops.relu(pointwise(ops.relu(branch)))
            branch = convolve_upsampled(
                branch, convolution.kernel, convolution.bias
            )
        for convolution in convolutions:
            branch = convolution(ops.relu(branch))
        return add_scaled(skip, branch, self.gain)

    def compute_output_shape(self, input_shape):
        """Return the output shape: `filters` channels, upsampled or not."""
        batch, *sides, _ = input_shape
        factor = 2 if self.is_upsampling else 1
        sides = (side and side * factor for side in sides)
        return (batch, *sides, self.filters)

    def get_config(self):
        """Return the arguments of the constructor."""
        config = super().get_config()
        config.update(
            filters=self.filters,
            kernel_sizes=self.kernel_sizes,
            gain=self.gain,
            is_upsampling=self.is_upsampling,
        )
        return config


@keras.saving.register_keras_serializable(package="gss_keras", name="Halving")
class MaxPool2x2(keras.layers.Layer):
    """Apply 2x2 max pooling of stride 2, see `ops.backend.max_pool_2x2`.

    Example:
    >>> maps = keras.ops.reshape(keras.ops.arange(8.0), (1, 2, 4, 1))
    >>> [float(value) for value in MaxPool2x2()(maps)[0, 0, :, 0]]
    [5.0, 7.0]
    """

    def call(self, inputs):
        """Return the feature map of half the height and width."""
        return max_pool_2x2(inputs)

    def compute_output_shape(self, input_shape):
        """Return the shape with height and width halved, where known."""
        batch, *sides, channels = input_shape
        return (batch, *(side and side // 2 for side in sides), channels)


@keras.saving.register_keras_serializable(package="gss_keras")
class TokenLookup(keras.layers.Layer):
    """Embed tokens: the lookup form of a 1x1 convolution on one-hot tokens.

    Integer tokens are looked up as rows of the kernel. Probabilities over the
    codebook, through which gradients flow, are multiplied by the kernel.

    Args:
        codebook_size: int. Number of tokens.
        filters: int. Size of an embedding.

    Example:
    >>> lookup = TokenLookup(codebook_size=16, filters=3)
    >>> tuple(lookup(keras.ops.zeros((1, 2, 2), "int32")).shape)
    (1, 2, 2, 3)
    """

    def __init__(self, codebook_size, filters, **kwargs):
        super().__init__(**kwargs)
        self.codebook_size = codebook_size
        self.filters = filters
        self.kernel = self.add_weight(
            shape=(codebook_size, filters),
            initializer=keras.initializers.RandomNormal(stddev=1.0),
            name="kernel",
        )
        self.bias = self.add_weight(
            shape=(filters,), initializer="zeros", name="bias"
        )
        self.built = True

    def call(self, tokens):
        """Return the embeddings of tokens, or their expectation.

        Args:
            tokens: int `(batch, h, w)` in `[0, codebook_size)`, or float
                `(batch, h, w, codebook_size)` probabilities.

        Returns:
            Float `(batch, h, w, filters)`.
        """
        if "int" in keras.backend.standardize_dtype(tokens.dtype):
            rows = ops.take(self.kernel, tokens, axis=0)
        else:
            rows = ops.matmul(tokens, self.kernel)
        return rows + self.bias

    def compute_output_shape(self, input_shape):
        """Return the shape of the embeddings."""
        return (*input_shape[:3], self.filters)

    def get_config(self):
        """Return the arguments of the constructor."""
        config = super().get_config()
        config.update(codebook_size=self.codebook_size, filters=self.filters)
        return config


def residual_groups(inputs, widths, blocks, gain, kernel_sizes, resample):
    """Stack groups of residual blocks, with resampling between groups.

    Args:
        inputs: Symbolic float `(batch, height, width, channels)`.
        widths: ints. Channels of each group.
        blocks: int. Residual blocks per group.
        gain: float. Factor of every residual branch.
        kernel_sizes: four ints. Kernel sizes of the convolutions in a block.
        resample: "down" for 2x2 max pooling between groups, "up" for
            nearest-neighbor upsampling by a factor of 2.

    Returns:
        Symbolic float `(batch, height * s, width * s, widths[-1])`, where `s`
        is 1/2 or 2, to the power of the number of groups minus one.
    """
    features = inputs
    for group, width in enumerate(widths, start=1):
        is_later = group > 1
        if is_later and resample == "down":
            features = MaxPool2x2()(features)
        is_upsampling = is_later and resample == "up"
        for block in range(1, blocks + 1):
            features = ResidualBlock(
                width,
                kernel_sizes=kernel_sizes,
                gain=gain,
                is_upsampling=is_upsampling and block == 1,
                name=f"group_{group}_block_{block}",
            )(features)
    return keras.layers.ReLU()(features)


def depth_to_space(features, patch):
    """Rearrange the channels of each position to a patch of pixels.

    Args:
        features: Float `(batch, h, w, patch * patch * channels)`.
        patch: int. Side of a patch in pixels.

    Returns:
        Float `(batch, h * patch, w * patch, channels)`.
    """
    if patch == 1:
        return features
    _, height, width, channels = ops.shape(features)
    channels = channels // patch**2
    shape = (-1, height, width, patch, patch, channels)
    patches = ops.transpose(ops.reshape(features, shape), (0, 1, 3, 2, 4, 5))
    return ops.reshape(patches, (-1, height * patch, width * patch, channels))
