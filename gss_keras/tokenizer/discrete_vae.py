"""The discrete VAE, the tokenizer between maskiges and tokens."""

import keras
from keras import ops

from gss_keras.layers.convolution import Conv2D
from gss_keras.ops.backend import argmax
from gss_keras.saving.presets import PresetMixin
from gss_keras.tokenizer.blocks import (
    TokenLookup,
    depth_to_space,
    residual_groups,
)
from gss_keras.tokenizer.strips import decode_in_strips, encode_in_strips

# DALL-E maps pixels from [0, 1] to [0.1, 0.9], so that the decoder's sigmoid
# need not saturate.
PIXEL_SCALE = 0.8
PIXEL_OFFSET = 0.1


@keras.saving.register_keras_serializable(package="gss_keras")
class DiscreteVAE(PresetMixin, keras.Model):
    """Tokenize maskiges with DALL-E's discrete VAE.

    The encoder maps a maskige to logits over the codebook, one token for each
    patch of `stride` x `stride` pixels and its context; the decoder maps
    tokens back to a maskige. The defaults are DALL-E's. The bundled compact
    tokenizer is the same class with smaller sizes.

    Args:
        codebook_size: int. Number of tokens.
        hidden: int, a multiple of 4. Channels of the finest group.
        groups: int. Groups of residual blocks, each at half the resolution of
            the one before. The stride is `patch * 2 ** (groups - 1)`.
        blocks: int. Residual blocks per group.
        decoder_initial: int. Size of a token's embedding.
        width_multipliers: ints, one per group from full resolution to tokens,
            or `None` for `1, 2, 4, ...`. A group has its multiplier times
            `hidden` channels.
        input_kernel: int. Kernel size of the encoder's first convolution.
        encoder_blocks: int, or `None` for as many as in the decoder. Residual
            blocks per group of the encoder, possibly 0.
        decoder_hidden: int, or `None` for the same as in the encoder. Channels
            of the decoder's finest group.
        patch: int. Stride of the encoder's first convolution, and block size
            of the depth-to-space operation after the decoder. 1 for DALL-E;
            larger values avoid expensive layers at full resolution.
        residual_gain: float, or `None` for DALL-E's
            `1 / (groups * blocks) ** 2`. Factor of every residual branch.
        output_channels: int, at least 3. Channels of the decoder, the first 3
            of which are the color logits. DALL-E's other 3 are scales.

    Call arguments:
        maskige: float `(batch, height, width, 3)` in [0, 1], where height and
            width are multiples of the stride.

    Returns:
        The reconstructed maskige, same shape and range.

    Raises:
        ValueError: If an argument is out of range, or the size of a maskige is
            not a multiple of the stride.

    Example:
    >>> tokenizer = DiscreteVAE(
    ...     codebook_size=32, hidden=8, groups=3, blocks=1, decoder_initial=8
    ... )
    >>> tokens = tokenizer.encode(keras.ops.zeros((1, 16, 24, 3)))
    >>> tuple(tokens.shape), tuple(tokenizer.decode(tokens).shape)
    ((1, 4, 6), (1, 16, 24, 3))

    Reference:
        - [Zero-Shot Text-to-Image Generation](
            https://arxiv.org/abs/2102.12092), appendix A
    """

    def __init__(
        self,
        codebook_size=8192,
        hidden=256,
        groups=4,
        blocks=2,
        decoder_initial=128,
        width_multipliers=None,
        input_kernel=7,
        encoder_blocks=None,
        decoder_hidden=None,
        patch=1,
        residual_gain=None,
        output_channels=6,
        **kwargs,
    ):
        _check_positive(
            codebook_size=codebook_size,
            hidden=hidden,
            groups=groups,
            blocks=blocks,
            decoder_initial=decoder_initial,
            input_kernel=input_kernel,
            patch=patch,
        )
        if output_channels < 3:
            raise ValueError(
                "`output_channels` must be at least 3. "
                f"Received: output_channels={output_channels}"
            )
        multipliers = width_multipliers or [2**i for i in range(groups)]
        if len(multipliers) != groups:
            raise ValueError(
                "`width_multipliers` must hold one number for each of the "
                f"{groups} groups. "
                f"Received: width_multipliers={width_multipliers}"
            )
        super().__init__(**kwargs)
        gain = residual_gain or 1 / (groups * blocks) ** 2
        widths = [multiplier * hidden for multiplier in multipliers]
        decoder_widths = [
            multiplier * (decoder_hidden or hidden)
            for multiplier in multipliers[::-1]
        ]

        # All layers are built here, so that weights can be loaded at once.
        self.encoder = _build_encoder(
            widths,
            blocks if encoder_blocks is None else encoder_blocks,
            gain,
            input_kernel,
            patch,
        )
        self.to_logits = Conv2D(
            codebook_size, 1, name="to_logits", dtype="float32"
        )
        self.to_logits.build((None, None, None, widths[-1]))
        self.lookup = TokenLookup(codebook_size, decoder_initial, name="lookup")
        self.decoder = _build_decoder(
            decoder_initial,
            decoder_widths,
            blocks,
            gain,
            output_channels * patch**2,
        )
        self.built = True

        # Config.
        self.codebook_size = codebook_size
        self.hidden = hidden
        self.groups = groups
        self.blocks = blocks
        self.decoder_initial = decoder_initial
        self.width_multipliers = width_multipliers
        self.input_kernel = input_kernel
        self.encoder_blocks = encoder_blocks
        self.decoder_hidden = decoder_hidden
        self.patch = patch
        self.residual_gain = residual_gain
        self.output_channels = output_channels

    @property
    def stride(self):
        """Side in pixels of the patch of a token."""
        return self.patch * 2 ** (self.groups - 1)

    def call(self, maskige):
        """Return the reconstructed maskige."""
        return self.decode(self.encode(maskige))

    def encode(self, maskige):
        """Encode a maskige to its most likely tokens.

        Large maskiges are encoded in strips, which takes less memory.

        Args:
            maskige: float `(batch, height, width, 3)` in [0, 1].

        Returns:
            int32 `(batch, height / stride, width / stride)` in
            `[0, codebook_size)`.
        """
        features = encode_in_strips(
            self.encoder, self._to_pixels(maskige), self.patch
        )
        return argmax(self.to_logits(features))

    def encode_logits(self, maskige):
        """Return the token logits of a maskige.

        Args:
            maskige: float `(batch, height, width, 3)` in [0, 1].

        Returns:
            Float `(batch, height / stride, width / stride, codebook_size)`,
            logits of the distribution over tokens.
        """
        return self.to_logits(self.encode_features(maskige))

    def encode_features(self, maskige):
        """Return the encoder's features, from which logits are computed.

        Args:
            maskige: float `(batch, height, width, 3)` in [0, 1].

        Returns:
            Float `(batch, height / stride, width / stride, channels)`.
        """
        return self.encoder(self._to_pixels(maskige))

    def _to_pixels(self, maskige):
        maskige = ops.convert_to_tensor(maskige)
        _check_maskige(maskige, self.stride)
        return PIXEL_SCALE * maskige + PIXEL_OFFSET

    def decode(self, tokens):
        """Decode tokens to a maskige.

        Large maps of integer tokens are decoded in strips, which takes less
        memory. Probabilities, through which gradients flow, are not.

        Args:
            tokens: int `(batch, h, w)` tokens, or float
                `(batch, h, w, codebook_size)` probabilities over tokens.

        Returns:
            Float maskige `(batch, h * stride, w * stride, 3)` in [0, 1].
        """
        tokens = ops.convert_to_tensor(tokens)
        features = self.lookup(tokens)
        if "int" in keras.backend.standardize_dtype(tokens.dtype):
            colors = decode_in_strips(
                self.decoder, features, self._to_colors, self.patch
            )
        else:
            colors = self.decode_features(features)
        return ops.clip(colors, 0.0, 1.0)

    def decode_features(self, features):
        """Decode token embeddings to colors, without clipping them.

        Args:
            features: float `(batch, h, w, decoder_initial)`.

        Returns:
            Float `(batch, h * stride, w * stride, 3)` in [-0.125, 1.125].
        """
        return self._to_colors(self.decoder(features))

    def _to_colors(self, outputs):
        outputs = depth_to_space(outputs, self.patch)
        colors = ops.sigmoid(outputs[..., :3])
        return (colors - PIXEL_OFFSET) / PIXEL_SCALE

    def compute_output_shape(self, input_shape):
        """Return the input shape."""
        return tuple(input_shape)

    def get_config(self):
        """Return the arguments of the constructor."""
        config = super().get_config()
        config.update(
            codebook_size=self.codebook_size,
            hidden=self.hidden,
            groups=self.groups,
            blocks=self.blocks,
            decoder_initial=self.decoder_initial,
            width_multipliers=self.width_multipliers,
            input_kernel=self.input_kernel,
            encoder_blocks=self.encoder_blocks,
            decoder_hidden=self.decoder_hidden,
            patch=self.patch,
            residual_gain=self.residual_gain,
            output_channels=self.output_channels,
        )
        return config


def _build_encoder(widths, blocks, gain, input_kernel, patch):
    """Build the functional model from pixels to features."""
    pixels = keras.Input((None, None, 3), name="pixels")
    features = Conv2D(
        widths[0], input_kernel, strides=patch, padding="same", name="input"
    )(pixels)
    features = residual_groups(
        features, widths, blocks, gain, (3, 3, 3, 1), resample="down"
    )
    return keras.Model(pixels, features, name="encoder")


def _build_decoder(decoder_initial, widths, blocks, gain, output_channels):
    """Build the functional model from token embeddings to color logits."""
    inputs = keras.Input((None, None, decoder_initial), name="features")
    features = residual_groups(
        inputs, widths, blocks, gain, (1, 3, 3, 3), resample="up"
    )
    outputs = Conv2D(output_channels, 1, name="output", dtype="float32")(
        features
    )
    return keras.Model(inputs, outputs, name="decoder")


def _check_positive(**sizes):
    for name, size in sizes.items():
        if not isinstance(size, int) or size < 1:
            raise ValueError(
                f"`{name}` must be a positive integer. Received: {name}={size}"
            )


def _check_maskige(maskige, stride):
    shape = tuple(maskige.shape)
    if len(shape) != 4 or shape[-1] != 3:
        raise ValueError(
            "`maskige` must have shape (batch, height, width, 3). "
            f"Received: maskige.shape={shape}"
        )
    if any(size is not None and size % stride for size in shape[1:3]):
        raise ValueError(
            "`maskige` must have a height and width that are multiples of "
            f"the stride {stride}. Received: maskige.shape={shape}"
        )
