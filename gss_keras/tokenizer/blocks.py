"""The parts of the discrete VAE: residual blocks, groups and token lookup."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="gss_keras")
class ResidualBlock(keras.layers.Layer):
    """Add four convolutions in a bottleneck to their own input.

    The bottleneck is a quarter of the output's width. The branch is scaled
    by a small constant, so that a deep stack starts near the identity.

    Args:
        filters: int, a multiple of 4. Channels going out.
        kernel_sizes: four ints. Sizes of the convolutions, in order.
        gain: float. Constant factor of the branch.

    Raises:
        ValueError: If `filters` is not a positive multiple of 4, or
            `kernel_sizes` does not hold four sizes.

    Example:
    >>> block = ResidualBlock(8, kernel_sizes=(3, 3, 3, 1), gain=0.1)
    >>> tuple(block(keras.ops.zeros((1, 6, 5, 4))).shape)
    (1, 6, 5, 8)

    Reference:
        - [DALL-E's discrete VAE](https://arxiv.org/abs/2102.12092)
    """

    def __init__(self, filters, kernel_sizes, gain, **kwargs):
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
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_sizes = tuple(kernel_sizes)
        self.gain = gain
        widths = [filters // 4] * 3 + [filters]
        self.convolutions = [
            keras.layers.Conv2D(width, size, padding="same", name=f"conv_{i}")
            for i, (width, size) in enumerate(
                zip(widths, self.kernel_sizes, strict=True), start=1
            )
        ]
        self.shortcut = None

    def build(self, input_shape):
        """Create the convolutions; a shortcut where channels change."""
        if input_shape[-1] != self.filters:
            self.shortcut = keras.layers.Conv2D(
                self.filters, 1, name="shortcut"
            )
            self.shortcut.build(input_shape)
        shape = tuple(input_shape)
        for convolution in self.convolutions:
            convolution.build(shape)
            shape = (*shape[:-1], convolution.filters)

    def call(self, inputs):
        """Return `shortcut(inputs) + gain * branch(inputs)`."""
        branch = inputs
        for convolution in self.convolutions:
            branch = convolution(ops.relu(branch))
        kept = inputs if self.shortcut is None else self.shortcut(inputs)
        return kept + self.gain * branch

    def compute_output_shape(self, input_shape):
        """Return the input's shape with `filters` channels."""
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        """Return the arguments of the constructor."""
        config = super().get_config()
        config.update(
            filters=self.filters,
            kernel_sizes=self.kernel_sizes,
            gain=self.gain,
        )
        return config


@keras.saving.register_keras_serializable(package="gss_keras")
class TokenLookup(keras.layers.Layer):
    """Turn each token into its feature vector.

    What a 1x1 convolution does to one-hot tokens is to pick one row of its
    kernel, so whole tokens are looked up. Probabilities over the codebook
    mix the rows instead.

    Args:
        codebook_size: int. Number of tokens.
        filters: int. Length of a feature vector.

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
        """Look tokens up, or mix the rows by probabilities.

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
        """Return the shape of the feature map, for int tokens."""
        return (*input_shape[:3], self.filters)

    def get_config(self):
        """Return the arguments of the constructor."""
        config = super().get_config()
        config.update(codebook_size=self.codebook_size, filters=self.filters)
        return config


def residual_groups(inputs, widths, blocks, gain, kernel_sizes, resample):
    """Run groups of residual blocks, resampling the map between them.

    Args:
        inputs: Symbolic float `(batch, height, width, channels)`.
        widths: ints. Channels of each group.
        blocks: int. Residual blocks in a group.
        gain: float. Factor of every residual branch.
        kernel_sizes: four ints. Sizes of the convolutions in a block.
        resample: Class of the layer between groups, built with the factor 2.

    Returns:
        Symbolic float `(batch, height * s, width * s, widths[-1])`, where `s`
        is what `resample` does, once less than there are groups.
    """
    features = inputs
    for group, width in enumerate(widths, start=1):
        if group > 1:
            features = resample(2)(features)
        for block in range(1, blocks + 1):
            features = ResidualBlock(
                width,
                kernel_sizes=kernel_sizes,
                gain=gain,
                name=f"group_{group}_block_{block}",
            )(features)
    return keras.layers.ReLU()(features)


def unfold_patches(features, patch):
    """Lay the channels of each position out as a square of pixels.

    Args:
        features: Float `(batch, h, w, patch * patch * channels)`.
        patch: int. Width of the square.

    Returns:
        Float `(batch, h * patch, w * patch, channels)`.
    """
    if patch == 1:
        return features
    _, height, width, channels = ops.shape(features)
    channels = channels // patch**2
    shape = (-1, height, width, patch, patch, channels)
    squares = ops.transpose(ops.reshape(features, shape), (0, 1, 3, 2, 4, 5))
    return ops.reshape(squares, (-1, height * patch, width * patch, channels))
