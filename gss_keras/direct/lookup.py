"""From classes to exactly the same tokens, most of them looked up."""

import keras
import numpy as np
from keras import ops

from gss_keras.ops.backend import argmax
from gss_keras.ops.patches import pad_to_patches, space_to_depth
from gss_keras.tokenizer.discrete_vae import PIXEL_OFFSET, PIXEL_SCALE

# Surroundings in which each class is seen to keep its token.
_TRIALS = 256


@keras.saving.register_keras_serializable(package="gss_keras")
class LookupEncoder(keras.layers.Layer):
    """Look up the tokens of squares of one class, and encode the others.

    Most squares of a mask are plain: they hold one class. The bundled
    tokenizer gives a plain square the token of its color whatever lies around
    it, so only the others need the encoder, which is one convolution and the
    codebook. Tokens are those of the posterior; where too many squares are
    not plain, all are encoded. Make it with `for_posterior`: there is nothing
    to train.

    Args:
        codebook_size: Number of tokens.
        num_classes: Number of classes K.
        stride: Side of a token's square in pixels of the mask.
        hidden: Channels of the tokenizer's encoder.
        kernel: Side of the square of pixels that its convolution sees.
        one_in: One square in so many can be encoded; if more have to be, all
            are.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        masks: Int tensor of shape `(batch, height, width)`; ids outside
            `[0, num_classes)` are ignored pixels. Any height and width.

    Returns:
        Int32 tokens of shape `(batch, ceil(height / stride),
        ceil(width / stride))`.

    Example:
    >>> import gss_keras
    >>> posterior = gss_keras.LatentPosterior(
    ...     gss_keras.palettes.maximal_distance(3),
    ...     gss_keras.DiscreteVAE.from_preset("maskige"),
    ... )
    >>> encoder = LookupEncoder.for_posterior(posterior)
    >>> cheaper = posterior.with_encoder(encoder)
    """

    def __init__(
        self, codebook_size, num_classes, stride, hidden, kernel, one_in=4,
        **kwargs,
    ):  # fmt: skip
        super().__init__(**{"dtype": "float32", **kwargs})
        self.codebook_size = codebook_size
        self.num_classes = num_classes
        self.stride = stride
        self.hidden = hidden
        self.kernel = kernel
        self.one_in = one_in

    @classmethod
    def for_posterior(cls, posterior, one_in=4):
        """Make one of a posterior's tokenizer and colors.

        Args:
            posterior: A `LatentPosterior`, its tokenizer of the bundled kind.
            one_in: One square in so many can be encoded.

        Returns:
            A `LookupEncoder`.

        Raises:
            ValueError: If the tokenizer's encoder has more layers, masks are
                drawn up before it, or a plain square's token depends on what
                lies around it, which is tried at random.
        """
        tokenizer = posterior.tokenizer
        layers = (tokenizer.groups, tokenizer.encoder_blocks)
        if layers != (1, 0) or posterior.mask_scale != 1:
            raise ValueError(
                "`posterior` must have a tokenizer with one convolution in "
                "its encoder, as the bundled one, and `mask_scale=1`. Distill "
                "a `DirectEncoder` instead. Received: (groups, "
                f"encoder_blocks)={layers}, mask_scale={posterior.mask_scale}"
            )
        encoder = cls(
            tokenizer.codebook_size,
            posterior.num_classes,
            posterior.token_stride,
            tokenizer.hidden,
            tokenizer.input_kernel,
            one_in,
        )
        encoder.build((None, None, None))
        convolution = tokenizer.encoder.get_layer("input")
        kernel, bias = (ops.convert_to_numpy(w) for w in convolution.weights)
        scores, offsets = tokenizer.to_logits.get_weights()
        encoder.set_weights(
            [
                _colors(posterior),
                kernel.reshape(-1, kernel.shape[-1]),
                bias,
                scores[0, 0],
                offsets,
                _plain_tokens(posterior),
            ]
        )
        return encoder

    def build(self, input_shape):
        del input_shape
        shapes = {
            "colors": (self.num_classes + 2, 3),
            "comparisons": (3 * self.kernel**2, self.hidden),
            "bias": (self.hidden,),
            "scores": (self.hidden, self.codebook_size),
            "offsets": (self.codebook_size,),
        }
        for name, shape in shapes.items():
            weight = self.add_weight(shape, name=name, trainable=False)
            setattr(self, name, weight)
        self.plain_tokens = self.add_weight(
            (self.num_classes + 1,), "zeros", "int32", name="plain_tokens",
            trainable=False,
        )  # fmt: skip

    def call(self, masks):
        return self.encode(masks)

    def encode(self, masks, scale=1):
        """Return tokens, as the call does, of masks upscaled `scale` times."""
        masks = masks[:, ::scale, ::scale]
        ids = pad_to_patches(masks, self.num_classes, self.stride)
        squares = space_to_depth(ids, self.stride)
        shape = ops.shape(squares)[:3]
        squares = ops.reshape(squares, (-1, self.stride**2))
        is_mixed = ops.any(squares != squares[:, :1], axis=1)
        is_mixed = ops.cast(is_mixed, "int32")
        count = ops.shape(squares)[0]
        room = -(-count // self.one_in)
        # Where there is room to spare, plain squares are encoded, too.
        _, chosen = ops.top_k(is_mixed, room)
        chosen = ops.cast(chosen, "int32")
        windows = _Windows(ids, self.num_classes + 1, self.kernel, self.stride)

        def some():
            plain = ops.take(self.plain_tokens, squares[:, 0])
            found = self._exact(windows.at(chosen))
            return ops.scatter_update(plain, chosen[:, None], found)

        tokens = ops.cond(
            ops.sum(is_mixed) <= room,
            some,
            lambda: self._exact(windows.at(ops.arange(count, dtype="int32"))),
        )
        return ops.reshape(tokens, shape)

    def _exact(self, windows):
        """Encode windows of ids, `(count, kernel * kernel)`."""
        pixels = ops.take(self.colors, windows, axis=0)
        pixels = ops.reshape(pixels, (-1, 3 * self.kernel**2))
        features = ops.relu(ops.matmul(pixels, self.comparisons) + self.bias)
        return argmax(ops.matmul(features, self.scores) + self.offsets)

    def compute_output_spec(self, masks):
        batch, *sides = masks.shape
        grid = (side and -(-side // self.stride) for side in sides)
        return keras.KerasTensor((batch, *grid), "int32")

    def get_config(self):
        return {
            **super().get_config(),
            "codebook_size": self.codebook_size,
            "num_classes": self.num_classes,
            "stride": self.stride,
            "hidden": self.hidden,
            "kernel": self.kernel,
            "one_in": self.one_in,
        }


class _Windows:
    """Cuts out what the convolution sees of a few squares."""

    def __init__(self, ids, outside, kernel, stride):
        # As much before as "same" padding puts there.
        before = (kernel - stride) // 2
        margins = (before, kernel - stride - before)
        padded = ops.pad(
            ids, [[0, 0], margins, margins], constant_values=outside
        )
        _, height, width = ops.shape(ids)
        self.size = ops.shape(padded)[1:]
        self.flat = ops.reshape(padded, (-1,))
        self.grid = height // stride, width // stride
        self.stride = stride
        self.steps = np.arange(kernel)

    def at(self, places):
        """Return the windows of squares by number, `(count, pixels)`."""
        rows, columns = self.grid
        photo, place = places // (rows * columns), places % (rows * columns)
        row = photo * self.size[0] + self.stride * (place // columns)
        column = self.stride * (place % columns)
        steps = ops.convert_to_tensor(self.steps, "int32")
        row = (row[:, None] + steps) * self.size[1]
        pixels = row[:, :, None] + (column[:, None] + steps)[:, None, :]
        pixels = ops.reshape(pixels, (-1, len(self.steps) ** 2))
        return ops.take(self.flat, pixels)


def _colors(posterior):
    """Return what the encoder sees of each class, ignored and outside."""
    colors = posterior.mapping(np.arange(posterior.num_classes + 1)[None, None])
    seen = PIXEL_SCALE * ops.convert_to_numpy(colors)[0, 0] + PIXEL_OFFSET
    return np.concatenate([seen, np.zeros((1, 3))])


def _plain_tokens(posterior):
    """Return the token of each class, or refuse if it has several."""
    stride, classes = posterior.token_stride, posterior.num_classes
    found = []
    for plain in range(classes + 1):
        masks = _surroundings(classes + 1, 3 * stride)
        masks[:, stride : 2 * stride, stride : 2 * stride] = plain
        masks[0] = plain
        tokens = ops.convert_to_numpy(posterior.encode(masks))[:, 1, 1]
        tokens = np.unique(tokens)
        if len(tokens) > 1:
            raise ValueError(
                "`posterior` must have a tokenizer that gives a square of one "
                "class the same token whatever lies around it. Distill a "
                f"`DirectEncoder` instead. Received: tokens {tokens} for "
                f"class {plain}"
            )
        found.append(tokens[0])
    return np.array(found)


def _surroundings(num_ids, side):
    """Draw masks of plain squares, of halves and of single pixels."""
    generator = np.random.default_rng(0)
    drawn = []
    for rows, columns in ((3, 3), (3, 6), (6, 3), (side, side)):
        ids = generator.integers(0, num_ids, (_TRIALS, rows, columns))
        ids = ids.repeat(side // rows, axis=1)
        drawn.append(ids.repeat(side // columns, axis=2))
    return np.concatenate(drawn)
