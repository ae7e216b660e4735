"""Encode masks to exact tokens, by lookup where patches are uniform."""

import keras
import numpy as np
from keras import ops

from gss_keras.ops.backend import argmax
from gss_keras.ops.patches import pad_to_patches, space_to_depth
from gss_keras.tokenizer.discrete_vae import PIXEL_OFFSET, PIXEL_SCALE

# Number of random contexts per kind in which a uniform patch must have the same
# token.
_TRIALS = 256


@keras.saving.register_keras_serializable(package="gss_keras")
class LookupEncoder(keras.layers.Layer):
    """Look up the tokens of uniform patches, and encode only the others.

    Most patches of a mask are uniform: they have a single class. The bundled
    tokenizer encodes a uniform patch to the token of its color, regardless of
    its neighbors. So only the other patches need the tokenizer's encoder, a
    convolution and the codebook's logits. The tokens equal the posterior's.
    If too many patches are not uniform, all patches are encoded. Create it
    with `for_posterior`; there is nothing to train.

    Args:
        codebook_size: Number of tokens.
        num_classes: Number of classes K.
        stride: Side of a token's patch in pixels of the mask.
        hidden: Channels of the tokenizer's encoder.
        kernel: Kernel size of the tokenizer's convolution.
        one_in: Inverse of the fraction of patches that can be encoded; if
            more patches are not uniform, all are encoded.
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
        """Create a `LookupEncoder` from a posterior's tokenizer and colors.

        Args:
            posterior: A `LatentPosterior` whose tokenizer has the architecture
                of the bundled one.
            one_in: As for the constructor.

        Returns:
            A `LookupEncoder`.

        Raises:
            ValueError: If the tokenizer's encoder has more layers, masks are
                upscaled before it, or the token of a uniform patch depends on
                its neighbors, which is tested with random ones.
        """
        tokenizer = posterior.tokenizer
        layers = (tokenizer.groups, tokenizer.encoder_blocks)
        if layers != (1, 0) or posterior.mask_scale != 1:
            raise ValueError(
                "`posterior` must have a tokenizer with one convolution in "
                "its encoder, like the bundled one, and `mask_scale=1`. "
                "Distill a `DirectEncoder` instead. Received: (groups, "
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
                _pixel_values(posterior),
                kernel.reshape(-1, kernel.shape[-1]),
                bias,
                scores[0, 0],
                offsets,
                _uniform_tokens(posterior),
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
        """Return the tokens of masks that were upscaled `scale` times."""
        masks = masks[:, ::scale, ::scale]
        ids = pad_to_patches(masks, self.num_classes, self.stride)
        patches = space_to_depth(ids, self.stride)
        shape = ops.shape(patches)[:3]
        patches = ops.reshape(patches, (-1, self.stride**2))
        is_mixed = ops.any(patches != patches[:, :1], axis=1)
        is_mixed = ops.cast(is_mixed, "int32")
        count = ops.shape(patches)[0]
        capacity = -(-count // self.one_in)
        # A fixed number of patches is encoded; spare capacity goes to uniform
        # patches, whose tokens are the same either way.
        _, selected = ops.top_k(is_mixed, capacity)
        selected = ops.cast(selected, "int32")
        fields = _ReceptiveFields(
            ids, self.num_classes + 1, self.kernel, self.stride
        )

        def encode_selected():
            uniform = ops.take(self.plain_tokens, patches[:, 0])
            encoded = self._encode_fields(fields.take(selected))
            return ops.scatter_update(uniform, selected[:, None], encoded)

        def encode_all():
            every = ops.arange(count, dtype="int32")
            return self._encode_fields(fields.take(every))

        tokens = ops.cond(
            ops.sum(is_mixed) <= capacity, encode_selected, encode_all
        )
        return ops.reshape(tokens, shape)

    def _encode_fields(self, fields):
        """Encode receptive fields of ids `(count, kernel * kernel)`."""
        pixels = ops.take(self.colors, fields, axis=0)
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


class _ReceptiveFields:
    """Gather the receptive fields of the convolution at selected patches."""

    def __init__(self, ids, outside, kernel, stride):
        # As much as "same" padding puts before the first row and column.
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

    def take(self, indices):
        """Return the ids `(count, kernel * kernel)` at flat patch indices."""
        rows, columns = self.grid
        sample, patch = indices // (rows * columns), indices % (rows * columns)
        row = sample * self.size[0] + self.stride * (patch // columns)
        column = self.stride * (patch % columns)
        steps = ops.convert_to_tensor(self.steps, "int32")
        row = (row[:, None] + steps) * self.size[1]
        pixels = row[:, :, None] + (column[:, None] + steps)[:, None, :]
        pixels = ops.reshape(pixels, (-1, len(self.steps) ** 2))
        return ops.take(self.flat, pixels)


def _pixel_values(posterior):
    """Return the encoder's input of each class, of ignored pixels and padding.

    Returns:
        Float `(num_classes + 2, 3)`.
    """
    colors = posterior.mapping(np.arange(posterior.num_classes + 1)[None, None])
    pixels = PIXEL_SCALE * ops.convert_to_numpy(colors)[0, 0] + PIXEL_OFFSET
    return np.concatenate([pixels, np.zeros((1, 3))])


def _uniform_tokens(posterior):
    """Return the token of a uniform patch of each class and of ignored pixels.

    Raises:
        ValueError: If a class has several tokens, depending on the context.
    """
    stride, classes = posterior.token_stride, posterior.num_classes
    found = []
    for class_id in range(classes + 1):
        masks = _random_contexts(classes + 1, 3 * stride)
        masks[:, stride : 2 * stride, stride : 2 * stride] = class_id
        masks[0] = class_id
        tokens = ops.convert_to_numpy(posterior.encode(masks))[:, 1, 1]
        tokens = np.unique(tokens)
        if len(tokens) > 1:
            raise ValueError(
                "`posterior` must have a tokenizer that encodes a uniform "
                "patch to the same token regardless of its neighbors. Distill "
                f"a `DirectEncoder` instead. Received: tokens {tokens} for "
                f"class {class_id}"
            )
        found.append(tokens[0])
    return np.array(found)


def _random_contexts(num_ids, side):
    """Sample masks of 3x3 patches: uniform, in halves and pixel by pixel."""
    rng = np.random.default_rng(0)
    masks = []
    for rows, columns in ((3, 3), (3, 6), (6, 3), (side, side)):
        ids = rng.integers(0, num_ids, (_TRIALS, rows, columns))
        ids = ids.repeat(side // rows, axis=1)
        masks.append(ids.repeat(side // columns, axis=2))
    return np.concatenate(masks)
