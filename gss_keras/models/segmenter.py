"""From photo to mask: the prior's tokens, decoded and read back."""

import functools

import keras
import numpy as np
from keras import ops

from gss_keras.checks import check_photos
from gss_keras.direct.decoder import check_decoder
from gss_keras.models.base_segmenter import BaseSegmenter
from gss_keras.models.stage import Answer
from gss_keras.ops.backend import argmax, resize_bilinear
from gss_keras.ops.padding import crop


@keras.saving.register_keras_serializable(package="gss_keras")
class GenerativeSegmenter(BaseSegmenter):
    """Segment photos by generating their masks.

    The prior predicts tokens, the tokenizer decodes them to a maskige, and
    the inverse mapping reads the class of each pixel off its color. `fit`
    trains a learned inverse mapping on what the frozen prior predicts, and
    nothing else.

    Args:
        prior: A trained `LatentPrior`.
        window: Height and width in pixels of the windows in which `predict`
            and `evaluate` score a photo unless told otherwise; by default
            they take it as a whole.
        stride: Distance of the windows downwards and sideways; by default two
            thirds of the window.
        inverse: What reads the decoded maskiges: a name or layer as for
            `LatentPosterior`; by default the posterior's own inverse. A
            learned one is trained here on what the prior predicts, and leaves
            the prior and its posterior as they are.
        decoder: A trained `DirectDecoder`, which reads the tokens in place of
            the tokenizer's decoder and the inverse mapping; none by default.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        photos: Tensor of shape `(batch, height, width, 3)`, uint8 or float,
            raw RGB 0-255. Any height and width.

    Returns:
        Float32 class logits of shape `(batch, height, width, num_classes)`.

    Raises:
        ValueError: If `window` and `stride` are no pairs of positive ints, a
            stride exceeds its window, the decoder is for other tokens or
            classes, or both an inverse and a decoder are given.

    Reference:
        Chen et al., "Generative Semantic Segmentation", CVPR 2023, figure 2.
    """

    parts = ("prior", "inverse", "decoder")
    frozen_part = "prior"

    def __init__(
        self, prior, window=None, stride=None, inverse=None, decoder=None,
        **kwargs,
    ):  # fmt: skip
        if decoder is not None:
            check_decoder(decoder, prior.posterior)
            if inverse is not None:
                raise ValueError(
                    "Give an `inverse` or a `decoder`, which needs none. "
                    f"Received: inverse={inverse!r}, decoder={decoder!r}"
                )
        # The posterior, which knows their colors, knows the classes' names.
        super().__init__(
            prior.posterior.num_classes, window, stride, None, **kwargs
        )
        self.prior = prior
        self.inverse = prior.posterior.adopt_inverse(inverse)
        self.decoder = decoder
        self.built = True

    @property
    def posterior(self):
        """The `LatentPosterior` that decodes the tokens."""
        return self.prior.posterior

    @property
    def classes(self):
        """Names of the classes, a tuple of strings, or None if not known."""
        return self.posterior.classes

    def learned_layers(self):
        return [self.decoder or self.inverse or self.posterior.inverse]

    def call(self, photos, training=None):
        tokens = self.prior.predict_tokens(photos)
        height, width = ops.shape(photos)[1], ops.shape(photos)[2]
        return self.decode(tokens, height, width, training=training)

    def decode(self, tokens, height, width, maskige=None, training=None):
        """Read class logits of a photo's size off its tokens.

        Args:
            tokens: Int tensor of shape `(batch, ceil(height / 4),
                ceil(width / 4))`.
            height: Height of the photo in pixels.
            width: Width of the photo in pixels.
            maskige: What the tokenizer decodes the tokens to, where that is
                at hand; float `(batch, h, w, 3)`.
            training: Whether what reads them is being trained.

        Returns:
            Float32 tensor of shape `(batch, height, width, num_classes)`.
        """
        if self.decoder:
            logits = self.decoder(tokens)
            if self.posterior.config["alignment"] == "stretch":
                return resize_bilinear(logits, height, width)
            return crop(logits, height, width)
        if maskige is None:
            maskige = self.posterior.tokenizer.decode(tokens)
        return self.posterior.class_logits(
            maskige, height, width, training=training, inverse=self.inverse
        )

    def decode_masks(self, tokens, height, width, maskige=None):
        """Read the best class of every pixel off tokens.

        Takes less memory than the best of the logits that `decode` gives.
        Arguments as for `decode`.

        Returns:
            Int32 tensor of shape `(batch, height, width)`.
        """
        if self.decoder:
            return argmax(self.decode(tokens, height, width))
        if maskige is None:
            maskige = self.posterior.tokenizer.decode(tokens)
        return self.posterior.read_masks(
            maskige, height, width, inverse=self.inverse
        )

    def predict_maskiges(self, x, batch_size=4, verbose=0, **kwargs):
        """Paint the masks as the tokenizer decodes them, before X^-1.

        Arguments as for `predict`.

        Returns:
            Float32 maskiges in [0, 1], `(..., height, width, 3)`, of
            `mask_scale` times the photos' size, rounded up to whole tokens.
        """
        return self._predict_with(
            self._maskiges, x, batch_size=batch_size, verbose=verbose, **kwargs
        )

    def sample(self, photos, n=4, temperature=1.0, seed=None):
        """Draw several masks that the prior holds possible.

        Where `predict` takes the likeliest token at each position, this
        draws tokens with their probabilities: where the hypotheses differ,
        the model is in doubt.

        Args:
            photos: One photo or a batch, as for `predict`.
            n: Number of masks for each photo.
            temperature: Above 0; below 1 stays closer to the likeliest
                tokens, above 1 strays further.
            seed: Integer that makes the draw repeatable.

        Returns:
            Int32 masks `(n, height, width)` for one photo, `(n, batch,
            height, width)` for a batch.

        Raises:
            ValueError: If `n` or `temperature` is not above 0.
        """
        if n < 1 or not temperature > 0:
            raise ValueError(
                "`n` and `temperature` must be above 0. "
                f"Received: n={n}, temperature={temperature}"
            )
        photos = check_photos(photos)
        batch = photos if photos.ndim == 4 else photos[None]
        logits = self.prior.token_logits(ops.convert_to_tensor(batch))
        size = logits.shape[-1]
        logits = ops.reshape(logits, (-1, size)) / temperature
        drawn = keras.random.categorical(logits, n, dtype="int32", seed=seed)
        grid = tuple(-(-side // 4) for side in batch.shape[1:3])
        drawn = [ops.reshape(drawn[:, i], (-1, *grid)) for i in range(n)]
        masks = [
            ops.convert_to_numpy(self.decode_masks(t, *batch.shape[1:3]))
            for t in drawn
        ]
        return np.stack(masks if photos.ndim == 4 else [m[0] for m in masks])

    # Cached outside Keras' tracking: both wrap this model, no part of it.
    @functools.cached_property
    def _masks(self):
        def masks(photos):
            tokens = self.prior.predict_tokens(photos)
            return self.decode_masks(tokens, *ops.shape(photos)[1:3])

        return Answer(self, masks).predict

    @functools.cached_property
    def _maskiges(self):
        def maskige(photos):
            tokens = self.prior.predict_tokens(photos)
            return self.posterior.tokenizer.decode(tokens)

        return Answer(self, maskige).predict

    @classmethod
    def from_preset(cls, preset, load_weights=True, posterior=None, dtype=None):
        """Build a segmenter from a folder and load its weights.

        Args:
            preset: Path of a folder written by `save_to_preset`, or the name
                of a bundled preset or a published model, see
                `gss_keras.presets`.
            load_weights: False for random weights.
            posterior: A `LatentPosterior` of other classes to go on with; the
                prior keeps its features, see `LatentPrior.with_posterior`.
            dtype: Precision to compute in: "bfloat16" or "float16";
                "mixed_bfloat16" or "mixed_float16" to train on; "float32".
                By default that of Keras' global policy.

        Returns:
            A `GenerativeSegmenter`.

        Raises:
            ValueError: If the preset is absent, damaged or of another class,
                or there is no such precision.
        """
        segmenter = super().from_preset(preset, load_weights, dtype)
        if posterior is None:
            return segmenter
        prior = segmenter.prior.with_posterior(posterior)
        return cls(prior, segmenter.window, segmenter.stride)
