"""Stage I: everything that sees the mask."""

import keras
import numpy as np
from keras import ops

from gss_keras.checks import check_classes
from gss_keras.direct.encoder import check_encoder
from gss_keras.layers.gumbel_softmax import (
    HardGumbelSoftmax,
    temperature_as_config,
)
from gss_keras.maskige import (
    IGNORE_LABEL,
    ColorInverse,
    LearnedInverse,
    MaskigeMapping,
    check_masks,
    inverse_from,
    palettes,
)
from gss_keras.maskige.reading import MaskigeReader
from gss_keras.models.losses import masked_cross_entropy
from gss_keras.models.metrics import SegmentationScores
from gss_keras.models.stage import Stage
from gss_keras.ops.backend import argmax
from gss_keras.ops.padding import crop, pad_with
from gss_keras.saving.presets import PresetMixin

# What each variant of the paper is: colors, inverse, whether colors learn.
_VARIANTS = {
    "ff": (palettes.maximal_distance, "nearest_color", False),
    "ff-r": (palettes.random, "nearest_color", False),
    "ft": (palettes.maximal_distance, "conv", False),
    "ft-w": (palettes.maximal_distance, "window", False),
    "tf": (palettes.maximal_distance, "nearest_color", True),
    "tt": (palettes.maximal_distance, "conv", True),
}


@keras.saving.register_keras_serializable(package="gss_keras")
class LatentPosterior(PresetMixin, Stage):
    """Send a mask through tokens and back.

    A mask is painted with the palette (X), the frozen tokenizer turns the
    maskige into tokens and back, and the inverse mapping (X^-1) reads class
    logits off the colors. What comes back is the best mask that tokens can
    express: its mIoU, which `evaluate` reports, is the ceiling of the whole
    method. `fit` learns what there is to learn: the inverse mapping where it
    has weights, the palette where that is asked for.

    Args:
        palette: Array of shape `(num_classes, 3)`, RGB 0-255, or the name of
            a palette.
        tokenizer: A `gss_keras.DiscreteVAE`. It is frozen.
        inverse: "nearest_color" (FF), "least_squares", "conv" (FT), "window"
            (FT-W), or a layer from maskige `(batch, height, width, 3)` in
            [0, 1] to class logits.
        mask_scale: How many times a mask is drawn up before it is tokenized.
            By default a quarter of the tokenizer's stride, so that tokens lie
            at 1/4 of the photo.
        ignore_color: RGB 0-255 that ignored pixels are painted with.
        alignment: How a decoded maskige is laid over a photo whose sides are
            no multiples of 4, so that it reaches past the photo. "crop"
            leaves every token over the pixels it was predicted from;
            "stretch" squeezes the whole maskige onto the photo, as the
            official release does.
        is_palette_learned: Whether `fit` moves the colors too (TF with an
            inverse that follows from them, TT with one that is learned). They
            start from `palette`; `posterior.palette` gives them as they are.
        temperature: Temperature of the hard Gumbel-softmax that lets the
            gradient of learned colors pass through the tokens: a float above
            0 or a schedule of `keras.optimizers.schedules`.
        token_noise: Factor of its Gumbel noise. 1 draws tokens as the
            tokenizer's softmax has them, which suits one trained so; the
            default takes the likeliest tokens, as inference does.
        classes: Names of the classes in the order of their ids, or None.
        encoder: A `LookupEncoder` or a trained `DirectEncoder`, which gives
            masks their tokens, at less work, in place of the mapping and the
            tokenizer's encoder; none by default. See `with_encoder`.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        masks: Int tensor of shape `(batch, height, width)`, ids in
            `[0, num_classes)` or 255 (ignore). Any height and width.

    Returns:
        Float class logits of shape `(batch, height, width, num_classes)`.

    Raises:
        ValueError: If `mask_scale` is no divisor of the tokenizer's stride,
            `alignment` is unknown, palette, inverse or classes are
            malformed, or the encoder is for other tokens or classes.

    Reference:
        Chen et al., "Generative Semantic Segmentation", CVPR 2023,
        section 3.2. The official release checks reconstructions at
        `mask_scale=1` and trains at 2; here both are the same model.
    """

    parts = ("tokenizer", "inverse", "encoder")
    frozen_part = "tokenizer"

    def __init__(
        self,
        palette,
        tokenizer,
        inverse="nearest_color",
        mask_scale=None,
        ignore_color=(0, 0, 0),
        alignment="crop",
        is_palette_learned=False,
        temperature=1.0,
        token_noise=0.0,
        classes=None,
        encoder=None,
        **kwargs,
    ):
        colors = palettes.as_palette(palette)
        if alignment not in ("crop", "stretch"):
            raise ValueError(
                "`alignment` must be 'crop' or 'stretch'. "
                f"Received: alignment={alignment!r}"
            )
        mask_scale = mask_scale or max(1, tokenizer.stride // 4)
        if tokenizer.stride % mask_scale:
            raise ValueError(
                "`mask_scale` must divide the stride of the tokenizer, "
                f"{tokenizer.stride}. Received: mask_scale={mask_scale}"
            )
        super().__init__(**kwargs)
        self.config = {
            "palette": palettes.as_config(palette),
            "mask_scale": mask_scale,
            "ignore_color": tuple(ignore_color),
            "alignment": alignment,
            "is_palette_learned": is_palette_learned,
            "temperature": temperature_as_config(temperature),
            "token_noise": token_noise,
        }
        if classes is not None:
            self.config["classes"] = check_classes(classes, len(colors))
        self.mapping = MaskigeMapping(
            colors, ignore_color, is_palette_learned, name="mapping"
        )
        self.mapping.build()
        self.tokenizer = tokenizer
        self.tokenizer.trainable = False
        self.inverse = self.adopt_inverse(inverse)
        self.token_choice = None
        if is_palette_learned:
            _check_codebook(tokenizer)
            self.token_choice = HardGumbelSoftmax(
                temperature, token_noise, name="token_choice"
            )
            self.token_choice.build((None, None, None, tokenizer.codebook_size))
        self.built = True
        self.mask_scale = mask_scale
        self.alignment = alignment
        self.num_classes = len(colors)
        self.encoder = encoder
        if encoder is not None:
            check_encoder(encoder, self)
        self.scores = SegmentationScores(self.num_classes, IGNORE_LABEL)

    @classmethod
    def from_variant(cls, variant, num_classes, tokenizer, seed=0, **kwargs):
        """Build one of the paper's variants, to be trained where it learns.

        Args:
            variant: "ff", "ff-r", "ft", "ft-w", "tf" or "tt": first X, then
                X^-1, each free of training (f) or trained (t); "r" for random
                colors, "w" for window attention.
            num_classes: Number of classes K.
            tokenizer: A `gss_keras.DiscreteVAE`. It is frozen.
            seed: Seed of the palette, see `palettes.maximal_distance`.
            **kwargs: Passed to `LatentPosterior`.

        Returns:
            A `LatentPosterior`.

        Raises:
            ValueError: If there is no such variant.

        Reference:
            Table 1 of the paper.
        """
        if variant not in _VARIANTS:
            raise ValueError(
                f"`variant` must be one of {sorted(_VARIANTS)}. "
                f"Received: variant={variant!r}"
            )
        make_palette, inverse, is_palette_learned = _VARIANTS[variant]
        arguments = {
            "palette": make_palette(num_classes, seed=seed),
            "inverse": inverse,
            "is_palette_learned": is_palette_learned,
        }
        return cls(tokenizer=tokenizer, **(arguments | kwargs))

    def learned_layers(self):
        return [self.mapping, self.inverse]

    @property
    def palette(self):
        """Colors as they are now: float32 `(num_classes, 3)`, RGB 0-255."""
        return self.mapping.palette

    @property
    def classes(self):
        """Names of the classes, a tuple of strings, or None if not known."""
        names = self.config.get("classes")
        return None if names is None else tuple(names)

    @property
    def token_stride(self):
        """Width and height, in mask pixels, of the square of one token."""
        return self.tokenizer.stride // self.mask_scale

    def call(self, masks, training=None):
        if training and self.token_choice:
            maskige = self.mapping(self.draw_up(masks))
            token_logits = self.tokenizer.encode_logits(maskige)
            tokens = self.token_choice(token_logits, training=True)
        else:
            tokens = self.encode(masks)
        maskige = self.tokenizer.decode(tokens)
        grid = ops.shape(tokens)
        padded = (grid[1] * self.token_stride, grid[2] * self.token_stride)
        logits = self.class_logits(maskige, *padded, training=training)
        return crop(logits, *ops.shape(masks)[1:3])

    def encode(self, masks):
        """Turn masks into tokens.

        Args:
            masks: Int tensor of shape `(batch, height, width)`.

        Returns:
            Int32 tokens of shape `(batch, ceil(height / token_stride),
            ceil(width / token_stride))`.
        """
        return self._tokens(self.draw_up(masks))

    def _tokens(self, masks):
        """Turn drawn-up masks into tokens."""
        if self.encoder:
            scale = self.mask_scale
            return self.encoder.encode(masks[:, ::scale, ::scale])
        return self.tokenizer.encode(self.mapping(masks))

    def with_encoder(self, encoder):
        """Return the same posterior, its colors settled, with an encoder.

        Args:
            encoder: A `LookupEncoder` or a trained `DirectEncoder`, or None
                for the tokenizer's.

        Returns:
            A `LatentPosterior` that shares this one's layers. A prior that is
            trained on it learns from the encoder's tokens.
        """
        settled = {"palette": self.palette, "is_palette_learned": False}
        return LatentPosterior(
            tokenizer=self.tokenizer,
            inverse=self.inverse,
            encoder=encoder,
            **(self.config | settled),
        )

    def adopt_inverse(self, inverse):
        """Make an inverse mapping for this posterior's classes.

        Args:
            inverse: Name of an inverse, a layer, or None.

        Returns:
            A built layer; None for None.

        Raises:
            ValueError: If no inverse has that name, or the layer is for
                another number of classes.
        """
        if inverse is None:
            return None
        layer = inverse_from(
            inverse, self.config["palette"], self.config["is_palette_learned"]
        )
        # A layer out of a configuration was built by Keras already.
        if not layer.built:
            layer.build((None, None, None, 3))
        return layer

    def class_logits(self, maskige, height, width, training=None, inverse=None):
        """Read a decoded maskige back to class logits of a photo's size.

        Votes of nearest colors, or what the inverse says; see
        `maskige.reading.MaskigeReader`.

        Args:
            maskige: Float tensor in [0, 1] of shape `(batch, h, w, 3)`, as
                the tokenizer decodes it: at least `mask_scale` times the
                photo.
            height: Height of the photo in pixels.
            width: Width of the photo in pixels.
            training: Whether the inverse mapping is being trained.
            inverse: Layer that reads the colors in place of the posterior's.

        Returns:
            Float32 tensor of shape `(batch, height, width, num_classes)`.
            Votes are from 0 to 1 and sum to 1.
        """
        reader = self._reader(inverse, training)
        return reader.logits(maskige, height, width)

    def read_masks(self, maskige, height, width, inverse=None):
        """Return the best of these logits, int32 `(batch, height, width)`."""
        return self._reader(inverse).masks(maskige, height, width)

    def _reader(self, inverse, training=None):
        inverse, arguments = inverse or self.inverse, {"training": training}
        if isinstance(inverse, ColorInverse | LearnedInverse):
            arguments["colors"] = self.mapping.colors
        is_stretched = self.alignment == "stretch"
        return MaskigeReader(
            inverse, self.num_classes, self.mask_scale, is_stretched, arguments
        )

    def draw_up(self, masks):
        """Pad masks to whole tokens and draw them up `mask_scale` times.

        Args:
            masks: Int tensor of shape `(batch, height, width)`.

        Returns:
            Int32 tensor of shape `(batch, h, w)`, multiples of the
            tokenizer's stride; the padding, below and to the right, holds
            the ignore label.
        """
        masks = ops.cast(masks, "int32")
        masks = pad_with(IGNORE_LABEL, masks, self.token_stride)
        if self.mask_scale > 1:
            masks = ops.repeat(masks, self.mask_scale, axis=1)
            masks = ops.repeat(masks, self.mask_scale, axis=2)
        return masks

    def target_tokens(self, masks, guesses=None):
        """Turn drawn-up masks into the tokens that a prior has to predict.

        Ignored pixels are painted as the prior itself guesses them, so that
        they pull its tokens nowhere. A token counts unless its whole square
        is ignored.

        Args:
            masks: Int32 tensor of shape `(batch, h, w)` from `draw_up`.
            guesses: Int tensor of the same shape, class ids; without it,
                ignored pixels keep the ignore color.

        Returns:
            Int32 tokens and a float32 tensor of ones where they count, both
            of shape `(batch, h / stride, w / stride)`.

        Reference:
            FF without this filling reaches 40.64 mIoU on ADE20K, with it
            43.72 (paper, table 6, tokens at 1/8).
        """
        is_known = masks < self.num_classes
        if guesses is not None:
            masks = ops.where(is_known, masks, guesses)
        tokens = self._tokens(masks)
        is_known = ops.cast(is_known, "float32")[..., None]
        stride = (self.tokenizer.stride,) * 2
        counted = ops.max_pool(is_known, stride, strides=stride)[..., 0]
        return ops.stop_gradient(tokens), counted

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        del y, sample_weight, training
        self.scores.update_state(x, argmax(y_pred))
        return masked_cross_entropy(x, y_pred, self.num_classes)

    def check_data(self, x, y=None):
        del y
        if isinstance(x, np.ndarray):
            check_masks(x, self.num_classes)


def _check_codebook(tokenizer):
    if not hasattr(tokenizer, "encode_logits"):
        raise ValueError(
            "`tokenizer` must score the tokens of a codebook with "
            "`encode_logits` where the palette is learned, or no gradient "
            "reaches the colors. Give a `gss_keras.DiscreteVAE`, or set "
            "`is_palette_learned=False`. "
            f"Received: tokenizer={type(tokenizer).__name__}"
        )
