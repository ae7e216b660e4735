"""Stage II: everything that sees the photo."""

import keras
import numpy as np
from keras import ops

from gss_keras.checks import check_pair, check_photos
from gss_keras.constants import STRIDES
from gss_keras.direct.token_classes import (
    count_token_classes,
    patch_log_probabilities,
)
from gss_keras.distribution import shared_mean, split_loss
from gss_keras.layers.conv_norm import ProjectionBlock, convolution_blocks
from gss_keras.layers.dense import Dense
from gss_keras.layers.fusion import LevelFusion
from gss_keras.layers.vocabulary import Vocabulary
from gss_keras.layers.window_attention import swin_blocks
from gss_keras.models.losses import masked_cross_entropy
from gss_keras.models.metrics import SegmentationScores
from gss_keras.models.stage import Stage
from gss_keras.ops.backend import argmax, resize_bilinear
from gss_keras.ops.padding import crop, pad_edges
from gss_keras.saving.precision import precision
from gss_keras.saving.presets import PresetMixin


@keras.saving.register_keras_serializable(package="gss_keras")
class LatentPrior(PresetMixin, Stage):
    """Predict the tokens of a mask from the photo: backbone and aggregation.

    A backbone's feature pyramid is fused at stride 4, refined by Swin blocks
    and classified over the codebook, position by position. In training an
    auxiliary pixel branch classifies pixels: it supervises the backbone and
    fills the pixels that the mask ignores. Train with stock `fit` on photos
    and masks; validation reports the mIoU of decoded masks beside the loss.

    Args:
        backbone: Model from raw photos to a dict of feature maps by stride,
            with strides 4, 8, 16 and 32; see `gss_keras.backbones`.
        posterior: The `LatentPosterior` whose tokens are predicted. It is
            frozen.
        level_channels: Channels each pyramid level is projected to.
        channels: Channels of the fused feature map and of the blocks.
        depth: Number of blocks.
        heads: Attention heads of the Swin blocks; `channels` is a multiple.
            None for blocks of one 3x3 convolution each instead.
        window: Side of an attention window in tokens.
        projection: Channels of the feature map that is classified into
            tokens.
        dropout: Spatial dropout rate of that feature map.
        pixel_branch: "separate": the pixel branch fuses the pyramid once
            more, with weights of its own. "shared": it reads the fused
            feature map of the token branch (the release's "single fusion").
            "guiding": it reads that feature map after the blocks, and its
            class probabilities are inputs of the token classifier; call
            `adapt` before `fit`. None: no pixel branch (the release's FT-W);
            ignored pixels keep the ignore color.
        pixel_loss_weight: Weight of the pixel branch's loss, from 0 to 1; the
            token loss has the remaining weight, or 1 without a pixel branch.
        pad_to: Photos are padded at the bottom and the right, by replicating
            their edges, to multiples of this. 1 for no padding, as in the
            release.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        photos: Tensor of shape `(batch, height, width, 3)`, uint8 or float,
            raw RGB 0-255. Any height and width.
        training: Whether dropout is active and batch statistics are used.

    Returns:
        A dict with `features`, float `(batch, ceil(height / 4),
        ceil(width / 4), any)`, the feature map before the vocabulary, and,
        with a pixel branch, `pixel_logits`, float32 `(batch,
        ceil(height / 4), ceil(width / 4), num_classes)`.

    Raises:
        ValueError: If the backbone lacks a stride, the posterior's tokens
            do not lie at 1/4 of the photo, or `pixel_branch` is unknown.

    Reference:
        Chen et al., "Generative Semantic Segmentation", CVPR 2023,
        section 3.3. The defaults are the paper's sizes. If the sides of a
        photo are no multiples of 32, the release resizes coarse feature maps,
        which cover more than the photo, to the photo: that costs a model
        trained on whole crops 0.6 mIoU on 360 x 480 photos and 5 on photos of
        odd sizes.
    """

    parts = ("backbone", "posterior")
    frozen_part = "posterior"

    def __init__(
        self,
        backbone,
        posterior,
        level_channels=384,
        channels=512,
        depth=2,
        heads=16,
        window=7,
        projection=2048,
        dropout=0.1,
        pixel_branch="separate",
        pixel_loss_weight=0.2,
        pad_to=STRIDES[-1],
        **kwargs,
    ):
        shapes = _level_shapes(backbone)
        _check_token_stride(posterior)
        if pixel_branch not in ("separate", "shared", "guiding", None):
            raise ValueError(
                "`pixel_branch` must be 'separate', 'shared', 'guiding' or "
                f"None. Received: pixel_branch={pixel_branch!r}"
            )
        super().__init__(**kwargs)
        self.config = {
            "level_channels": level_channels,
            "channels": channels,
            "depth": depth,
            "heads": heads,
            "window": window,
            "projection": projection,
            "dropout": dropout,
            "pixel_branch": pixel_branch,
            "pixel_loss_weight": pixel_loss_weight,
            "pad_to": pad_to,
        }
        self.pad_to = pad_to
        self.pixel_loss_weight = pixel_loss_weight
        self.backbone = backbone
        self.posterior = posterior

        # The token branch, then the pixel branch, in the order of `call`.
        self.fusion = LevelFusion(level_channels, channels, name="fusion")
        if heads:
            self.blocks = swin_blocks(channels, depth, heads, window)
        else:
            self.blocks = convolution_blocks(channels, depth)
        self.norm = keras.layers.LayerNormalization(epsilon=1e-5, name="norm")
        self.projection = ProjectionBlock(projection, name="projection")
        self.dropout = keras.layers.SpatialDropout2D(dropout, name="dropout")
        self.vocabulary = Vocabulary(
            posterior.tokenizer.codebook_size, name="vocabulary"
        )
        self.pixel_fusion = self.pixel_classifier = None
        if pixel_branch == "separate":
            self.pixel_fusion = LevelFusion(
                level_channels, level_channels, name="pixel_fusion"
            )
        if pixel_branch:
            self.pixel_classifier = Dense(
                posterior.num_classes, name="pixel_classifier", dtype="float32"
            )
        self._build_layers(shapes)

        self.token_loss = keras.metrics.Mean("token_loss")
        self.pixel_loss = keras.metrics.Mean("pixel_loss")
        self.token_accuracy = keras.metrics.Mean("token_accuracy")
        self.scores = SegmentationScores(posterior.num_classes)
        self._is_evaluating = False

    def _build_layers(self, shapes):
        channels = self.config["channels"]
        self.fusion.build(shapes)
        for layer in [*self.blocks, self.norm, self.projection]:
            layer.build((None, None, None, channels))
        width = self.config["projection"]
        if self.is_guided:
            width += self.posterior.num_classes * STRIDES[0] ** 2
        self.vocabulary.build((None, None, None, width))
        if self.pixel_fusion:
            self.pixel_fusion.build(shapes)
            channels = self.config["level_channels"]
        if self.pixel_classifier:
            self.pixel_classifier.build((None, None, None, channels))
        self.built = True

    @property
    def is_guided(self):
        """Whether the token classifier reads the pixel branch's output."""
        return self.config["pixel_branch"] == "guiding"

    is_adaptable = is_guided

    def adapt(self, masks):
        """Initialize the token classifier from token statistics of masks.

        With `pixel_branch="guiding"`, the weights from class probabilities to
        tokens are initialized with the class frequencies at each pixel of
        each token's square. `fit` starts from there instead of having to
        learn them for every token of the codebook.

        Args:
            masks: Iterable of int masks `(height, width)` of any sizes, such
                as those of the training set; ids outside `[0, num_classes)`
                are ignored. A few hundred suffice.

        Raises:
            ValueError: If there is no mask, or `pixel_branch` is not
                "guiding".
        """
        if not self.is_guided:
            raise ValueError(
                "`adapt` needs a prior with `pixel_branch='guiding'`. "
                f"Received: pixel_branch={self.config['pixel_branch']!r}"
            )
        kernel, bias = self.vocabulary.get_weights()
        probabilities = count_token_classes(self.posterior, masks)
        kernel[self.config["projection"] :] = probabilities.T
        self.vocabulary.set_weights([kernel, bias])

    def learned_layers(self):
        return [layer for layer in self.layers if layer is not self.posterior]

    def call(self, photos, training=None):
        padded = pad_edges(ops.cast(photos, self.compute_dtype), self.pad_to)
        pyramid = self.backbone(padded, training=training)
        levels = [pyramid[stride] for stride in STRIDES]

        features = self.fusion(levels, training=training)
        pixels = features
        for block in self.blocks:
            features = block(features, training=training)
        if self.is_guided:
            pixels = self.dropout(features, training=training)
        features = self.projection(self.norm(features), training=training)
        maps = {"features": self.dropout(features, training=training)}

        if self.pixel_fusion:
            pixels = self.pixel_fusion(levels, training=training)
        if self.pixel_classifier:
            maps["pixel_logits"] = self.pixel_classifier(pixels)
        if self.is_guided:
            likelihoods = patch_log_probabilities(
                maps["pixel_logits"], STRIDES[0]
            )
            pair = maps["features"], ops.cast(likelihoods, self.compute_dtype)
            maps["features"] = ops.concatenate(pair, axis=-1)
        rows, columns = (-(-n // STRIDES[0]) for n in ops.shape(photos)[1:3])
        return {name: crop(m, rows, columns) for name, m in maps.items()}

    @property
    def certainty_output(self):
        """Output of `infer` that says how certain a prediction is."""
        if self.pixel_classifier is None:
            return "token_probabilities"
        return "class_probabilities"

    def infer(self, photos, outputs=("tokens",)):
        """Predict tokens and probabilities; traceable on every backend.

        Args:
            photos: Tensor of shape `(batch, height, width, 3)`, raw 0-255.
            outputs: Which of the outputs below to compute; others are
                ignored.

        Returns:
            A dict of `tokens`, int32 `(batch, ceil(height / 4),
            ceil(width / 4))`, the most probable ones; on request
            `token_probabilities`, float32 of the same shape, their softmax
            probabilities; and, with a pixel branch, `class_probabilities`,
            float32 of the same shape and `num_classes` channels.
        """
        maps = self(photos, training=False)
        if "token_probabilities" in outputs:
            best = self.vocabulary.best_tokens_and_probabilities
            tokens, probabilities = best(maps["features"])
            results = {"tokens": tokens, "token_probabilities": probabilities}
        else:
            results = {"tokens": self.vocabulary.best_tokens(maps["features"])}
        if "class_probabilities" in outputs:
            logits = ops.cast(maps["pixel_logits"], "float32")
            results["class_probabilities"] = ops.softmax(logits)
        return results

    def predict_tokens(self, photos):
        """Return the most probable token of every position.

        Args:
            photos: Tensor of shape `(batch, height, width, 3)`, raw 0-255.

        Returns:
            Int32 tensor `(batch, ceil(height / 4), ceil(width / 4))`.
        """
        return self.infer(photos)["tokens"]

    def token_logits(self, photos):
        """Return the logits of every token at every position.

        Args:
            photos: Tensor of shape `(batch, height, width, 3)`, raw 0-255.

        Returns:
            Float32 tensor `(batch, ceil(height / 4), ceil(width / 4),
            codebook_size)`.
        """
        return self.vocabulary(self(photos, training=False)["features"])

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Combine the cross-entropies of tokens and of pixels.

        Reference:
            `0.8 * CE(tokens) + 0.2 * CE(pixels)`, each averaged over the
            positions that are not ignored.
        """
        del sample_weight
        weight, pixel_loss, guesses = 0.0, 0.0, None
        masks = self.posterior.pad_and_upscale(y)
        if self.pixel_classifier:
            weight = self.pixel_loss_weight
            size = ops.shape(masks)[1:3]
            pixel_logits = resize_bilinear(y_pred["pixel_logits"], *size)
            pixel_loss = masked_cross_entropy(
                masks, pixel_logits, self.posterior.num_classes
            )
            guesses = argmax(pixel_logits)

        true_tokens, counted = self.posterior.target_tokens(masks, guesses)
        total, tokens = self.vocabulary.cross_entropy(
            y_pred["features"], true_tokens, counted, training
        )
        token_loss = shared_mean(total, ops.sum(counted))

        self.token_loss.update_state(token_loss)
        self.pixel_loss.update_state(pixel_loss)
        self._update_metrics(x, y, tokens, true_tokens, counted, training)
        return split_loss((1.0 - weight) * token_loss + weight * pixel_loss)

    def _update_metrics(self, x, y, tokens, true_tokens, counted, training):
        is_correct = ops.cast(tokens == true_tokens, "float32")
        self.token_accuracy.update_state(is_correct, sample_weight=counted)
        self._is_evaluating = not training
        if self._is_evaluating:
            size = ops.shape(x)[1:3]
            logits = self.posterior.token_decoder.logits(tokens, *size)
            self.scores.update_state(y, argmax(logits))

    def get_metrics_result(self):
        """Return the metrics; in training, no masks are decoded and scored."""
        results = super().get_metrics_result()
        if not self._is_evaluating:
            for name in self.scores.result_names:
                results.pop(name)
        return results

    def check_data(self, x, y=None):
        if isinstance(x, np.ndarray) and isinstance(y, np.ndarray):
            check_pair(x, y, self.posterior.num_classes)
        elif isinstance(x, np.ndarray):
            check_photos(x)

    @classmethod
    def from_config(cls, config):
        # Priors saved before there was padding were trained without it.
        return super().from_config({"pad_to": 1, **config})

    def with_posterior(self, posterior):
        """Return a prior for other classes, initialized with these weights.

        All layers up to the last feature map are copied, and the vocabulary,
        too, if the new posterior has the same tokenizer. The pixel classifier
        is initialized anew, and so are the vocabulary's weights of its
        outputs. Continue with `adapt` if it is "guiding", and with `fit`.

        Args:
            posterior: The `LatentPosterior` of the new classes.

        Returns:
            A new `LatentPrior` that shares this one's backbone.
        """
        with precision(self.dtype_policy):
            new = LatentPrior(self.backbone, posterior, **self.config)
        kept = ["fusion", "norm", "projection", "pixel_fusion"]
        layers = [(getattr(self, k), getattr(new, k)) for k in kept]
        layers = [pair for pair in layers if pair[0]]
        layers += zip(self.blocks, new.blocks, strict=True)
        for old_layer, new_layer in layers:
            new_layer.set_weights(old_layer.get_weights())
        if _same_weights(self.posterior.tokenizer, posterior.tokenizer):
            kernel, bias = self.vocabulary.get_weights()
            fresh, _ = new.vocabulary.get_weights()
            kept = self.config["projection"]
            kernel = np.concatenate([kernel[:kept], fresh[kept:]])
            new.vocabulary.set_weights([kernel, bias])
        return new

    @classmethod
    def from_preset(cls, preset, load_weights=True, posterior=None, **kwargs):
        """Build a prior from a folder and load its weights.

        Args:
            preset: Path or name, see `gss_keras.presets.PresetMixin`.
            load_weights: False for random weights.
            posterior: A `LatentPosterior` of other classes to fine-tune on;
                see `with_posterior`.
            **kwargs: `dtype`, the precision to compute in.

        Returns:
            A `LatentPrior`.
        """
        prior = super().from_preset(preset, load_weights, **kwargs)
        return prior if posterior is None else prior.with_posterior(posterior)


def _level_shapes(backbone):
    channels = getattr(backbone, "channels", None)
    received = sorted(channels) if isinstance(channels, dict) else channels
    if received is None or any(s not in received for s in STRIDES):
        raise ValueError(
            f"`backbone` must return feature maps of strides {STRIDES} and "
            "have a dict `channels` of them. Wrap a KerasHub or KerasCV "
            "backbone in `gss_keras.backbones.FeaturePyramid`. "
            f"Received: {type(backbone).__name__} with strides {received}"
        )
    return [(None, None, None, channels[stride]) for stride in STRIDES]


def _check_token_stride(posterior):
    if posterior.token_stride != STRIDES[0]:
        raise ValueError(
            "`posterior` must have tokens of stride 4 on the photo: the "
            "tokenizer's stride divided by `mask_scale` must be 4. Choose "
            "another tokenizer or `mask_scale`. Received: stride="
            f"{posterior.tokenizer.stride}, mask_scale={posterior.mask_scale}"
        )


def _same_weights(one, other):
    pairs = list(zip(one.get_weights(), other.get_weights(), strict=False))
    return len(one.weights) == len(other.weights) and all(
        np.array_equal(a, b) for a, b in pairs
    )
