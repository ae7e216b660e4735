"""Stage I: everything that sees the mask."""

import keras
import numpy as np
from keras import ops

from gss_keras.checks import check_classes, check_masks
from gss_keras.constants import IGNORE_LABEL
from gss_keras.direct.encoder import check_encoder
from gss_keras.distribution import split_loss
from gss_keras.layers.gumbel_softmax import (
    HardGumbelSoftmax,
    temperature_as_config,
)
from gss_keras.maskige import MaskigeMapping, inverse_from, palettes
from gss_keras.models import variants
from gss_keras.models.codec import TokenizerDecoder, TokenizerEncoder, upscale
from gss_keras.models.losses import masked_cross_entropy
from gss_keras.models.metrics import SegmentationScores
from gss_keras.models.stage import Stage
from gss_keras.ops.backend import argmax
from gss_keras.ops.padding import crop, pad_with
from gss_keras.saving.presets import PresetMixin


@keras.saving.register_keras_serializable(package="gss_keras")
class LatentPosterior(PresetMixin, Stage):
    """Reconstruct a mask from its tokens: mask -> tokens -> mask.

    A mask is painted with the palette (X), the frozen tokenizer encodes the
    maskige to tokens and decodes it again, and the inverse mapping (X^-1)
    turns colors into class logits. The reconstruction is the best mask that
    tokens can express: its mIoU, which `evaluate` reports, is the upper bound
    of the whole method. `fit` trains the inverse mapping if it has weights,
    and the palette if `is_palette_learned`.

    Args:
        palette: Array of shape `(num_classes, 3)`, RGB 0-255, or the name of
            a palette.
        tokenizer: A `gss_keras.DiscreteVAE`. It is frozen.
        inverse: "nearest_color" (FF), "least_squares", "conv" (FT), "window"
            (FT-W), or a layer from maskige `(batch, height, width, 3)` in
            [0, 1] to class logits, see `gss_keras.maskige.InverseMapping`.
        mask_scale: Factor by which masks are upscaled before tokenization. By
            default a quarter of the tokenizer's stride, so that tokens have
            stride 4 on the photo.
        ignore_color: RGB 0-255 that ignored pixels are painted with.
        alignment: How to align a decoded maskige, which covers whole tokens,
            with a photo whose sides are no multiples of 4. "crop" keeps every
            token over the pixels it was predicted from; "stretch" resizes the
            whole maskige to the photo, as the official release does.
        is_palette_learned: Whether `fit` trains the colors, too (TF with an
            inverse computed from them, TT with a trained one). They are
            initialized with `palette`; `posterior.palette` returns their
            current values.
        temperature: Temperature of the hard Gumbel-softmax through which the
            gradient reaches learned colors: a float above 0 or a schedule of
            `keras.optimizers.schedules`.
        token_noise: Factor of its Gumbel noise. 1 samples tokens from the
            tokenizer's softmax, which suits a tokenizer trained so; by
            default the most probable tokens are taken, as in inference.
        classes: Names of the classes in the order of their ids, or None.
        encoder: A `LookupEncoder` or a trained `DirectEncoder`, which
            replaces the mapping and the tokenizer's encoder at fewer FLOPs;
            None for the tokenizer's. See `with_encoder`.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        masks: Int tensor of shape `(batch, height, width)`, ids in
            `[0, num_classes)` or 255 (ignore). Any height and width.

    Returns:
        Float32 class logits of shape `(batch, height, width, num_classes)`.

    Raises:
        ValueError: If `mask_scale` is no divisor of the tokenizer's stride,
            `alignment` is unknown, palette, inverse or classes are
            malformed, or the encoder is for other tokens or classes.

    Reference:
        Chen et al., "Generative Semantic Segmentation", CVPR 2023,
        section 3.2. The official release measures reconstructions at
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
        self.inverse = self.make_inverse(inverse)
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
        """Build one of the paper's variants, see `gss_keras.models.variants`.

        Args:
            variant: "ff", "ff-r", "ft", "ft-w", "tf" or "tt": first X, then
                X^-1, each free of training (f) or trained (t); "r" for random
                colors, "w" for window attention.
            num_classes: Number of classes K.
            tokenizer: A `gss_keras.DiscreteVAE`. It is frozen.
            seed: Seed of the palette, see `palettes.maximal_distance`.
            **kwargs: Passed to `LatentPosterior`.

        Returns:
            A `LatentPosterior`, untrained. Its `fit` trains on
            reconstructions, FT-W's inverse included; to train that on
            predictions, pass it to a `GenerativeSegmenter`.

        Raises:
            ValueError: If there is no such variant.

        Reference:
            Table 1 of the paper.
        """
        found = variants.find(variant)
        arguments = {
            "palette": found.make_palette(num_classes, seed=seed),
            "inverse": found.inverse,
            "is_palette_learned": found.is_palette_learned,
        }
        return cls(tokenizer=tokenizer, **(arguments | kwargs))

    def learned_layers(self):
        return [self.mapping, self.inverse]

    @property
    def palette(self):
        """Current colors: float32 `(num_classes, 3)`, RGB 0-255."""
        return self.mapping.palette

    @property
    def classes(self):
        """Names of the classes, a tuple of strings, or None if not known."""
        names = self.config.get("classes")
        return None if names is None else tuple(names)

    @property
    def token_stride(self):
        """Stride of the tokens in pixels of the mask."""
        return self.tokenizer.stride // self.mask_scale

    @property
    def mask_encoder(self):
        """The half of the codec from masks to tokens, see `models.codec`."""
        return self.encoder or TokenizerEncoder(
            self.mapping, self.tokenizer, self.mask_scale
        )

    @property
    def token_decoder(self):
        """The half of the codec from tokens to masks, see `models.codec`."""
        return TokenizerDecoder(self)

    def call(self, masks, training=None):
        """Follow a mask: X -> encoder -> tokens -> decoder -> X^-1."""
        if training and self.token_choice:
            maskige = self.mapping(self.pad_and_upscale(masks))
            token_logits = self.tokenizer.encode_logits(maskige)
            tokens = self.token_choice(token_logits, training=True)
        else:
            tokens = self.encode(masks)
        grid = ops.shape(tokens)
        padded = (grid[1] * self.token_stride, grid[2] * self.token_stride)
        logits = self.token_decoder.logits(tokens, *padded, training=training)
        return crop(logits, *ops.shape(masks)[1:3])

    def encode(self, masks):
        """Encode masks to tokens.

        Args:
            masks: Int tensor of shape `(batch, height, width)`.

        Returns:
            Int32 tokens of shape `(batch, ceil(height / token_stride),
            ceil(width / token_stride))`.
        """
        return self.mask_encoder.encode(self._pad(masks))

    def class_logits(self, maskige, height, width, training=None, inverse=None):
        """Apply the inverse mapping to a decoded maskige.

        Args:
            maskige: Float tensor in [0, 1] of shape `(batch, h, w, 3)`, as
                the tokenizer decodes it: at least `mask_scale` times the
                photo.
            height: Height of the photo in pixels.
            width: Width of the photo in pixels.
            training: Whether the inverse mapping is being trained.
            inverse: Layer to use instead of the posterior's inverse mapping.

        Returns:
            Float32 tensor of shape `(batch, height, width, num_classes)`.
            Of an inverse that votes, the fractions of votes, in [0, 1] and
            summing to 1.
        """
        decoder = TokenizerDecoder(self, inverse)
        return decoder.logits(None, height, width, maskige, training)

    def with_encoder(self, encoder):
        """Return the same posterior, its colors frozen, with another encoder.

        Args:
            encoder: A `LookupEncoder` or a trained `DirectEncoder`, or None
                for the tokenizer's.

        Returns:
            A `LatentPosterior` that shares this one's layers. A prior that is
            trained on it learns from the encoder's tokens.
        """
        frozen = {"palette": self.palette, "is_palette_learned": False}
        return LatentPosterior(
            tokenizer=self.tokenizer,
            inverse=self.inverse,
            encoder=encoder,
            **(self.config | frozen),
        )

    def make_inverse(self, inverse):
        """Build an inverse mapping for this posterior's classes.

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
        # Keras has built a layer that comes from a config already.
        if not layer.built:
            layer.build((None, None, None, 3))
        return layer

    def pad_and_upscale(self, masks):
        """Pad masks to whole tokens and upscale them `mask_scale` times.

        Args:
            masks: Int tensor of shape `(batch, height, width)`.

        Returns:
            Int32 tensor of shape `(batch, h, w)`, multiples of the
            tokenizer's stride; the padding, below and to the right, holds
            the ignore label.
        """
        return upscale(self._pad(masks), self.mask_scale)

    def _pad(self, masks):
        masks = ops.cast(masks, "int32")
        return pad_with(IGNORE_LABEL, masks, self.token_stride)

    def target_tokens(self, masks, guesses=None):
        """Encode upscaled masks to the tokens that a prior has to predict.

        Ignored pixels are filled with the prior's own predictions, so that
        they do not bias its tokens. A token is ignored if every pixel of its
        square is.

        Args:
            masks: Int32 tensor of shape `(batch, h, w)` from
                `pad_and_upscale`.
            guesses: Int tensor of the same shape, predicted class ids;
                without it, ignored pixels keep the ignore color.

        Returns:
            Int32 tokens, and a float32 tensor that is 1 for tokens that count
            and 0 for ignored ones, both `(batch, h / stride, w / stride)`.

        Reference:
            FF without this filling reaches 40.64 mIoU on ADE20K, with it
            43.72 (paper, table 6, tokens at 1/8).
        """
        is_known = masks < self.num_classes
        if guesses is not None:
            masks = ops.where(is_known, masks, guesses)
        tokens = self.mask_encoder.encode(masks, scale=self.mask_scale)
        is_known = ops.cast(is_known, "float32")[..., None]
        stride = (self.tokenizer.stride,) * 2
        counted = ops.max_pool(is_known, stride, strides=stride)[..., 0]
        return ops.stop_gradient(tokens), counted

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        del y, sample_weight, training
        self.scores.update_state(x, argmax(y_pred))
        return split_loss(masked_cross_entropy(x, y_pred, self.num_classes))

    def check_data(self, x, y=None):
        del y
        if isinstance(x, np.ndarray):
            check_masks(x, self.num_classes)


def _check_codebook(tokenizer):
    if not hasattr(tokenizer, "encode_logits"):
        raise ValueError(
            "`tokenizer` must have a method `encode_logits` if the palette is "
            "learned, or no gradient reaches the colors. Give a "
            "`gss_keras.DiscreteVAE`, or set `is_palette_learned=False`. "
            f"Received: tokenizer={type(tokenizer).__name__}"
        )
