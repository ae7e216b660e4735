"""Stage III, inference: photo to mask through tokens."""

import keras
import numpy as np
from keras import ops

from gss_keras.checks import check_photos
from gss_keras.direct.decoder import check_decoder
from gss_keras.models.base_segmenter import BaseSegmenter
from gss_keras.models.codec import DirectTokenDecoder, TokenizerDecoder
from gss_keras.models.inference import certainty_at_pixels
from gss_keras.ops.backend import argmax


@keras.saving.register_keras_serializable(package="gss_keras")
class GenerativeSegmenter(BaseSegmenter):
    """Segment photos by generating their masks.

    The prior predicts tokens, the tokenizer decodes them to a maskige, and
    the inverse mapping X^-1 classifies its pixels by color. `fit` trains a
    learned inverse mapping on the predictions of the frozen prior, and
    nothing else.

    `infer` offers further outputs: `tokens`, int32 `(batch, ceil(height / 4),
    ceil(width / 4))`; `token_probabilities`, float32 of the same shape;
    `class_probabilities`, float32 of the same shape with `num_classes`
    channels, of the prior's pixel branch; and `maskige`, float32 in [0, 1],
    `mask_scale` times the photos' size, rounded up to whole tokens, and 3
    channels.

    Args:
        prior: A trained `LatentPrior`.
        window: Height and width in pixels of the windows in which `predict`
            and `evaluate` segment a photo unless told otherwise; by default
            they take it as a whole.
        stride: Vertical and horizontal distance of the windows; by default
            two thirds of the window.
        inverse: The inverse mapping of decoded maskiges: a name or layer as
            for `LatentPosterior`; by default the posterior's own. A learned
            one is trained here on predictions, and leaves the prior and its
            posterior unchanged.
        decoder: A trained `DirectDecoder`, which replaces the tokenizer's
            decoder and the inverse mapping; none by default.
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
    output_names = (
        "masks",
        "confidence",
        "tokens",
        "maskige",
        "logits",
        "token_probabilities",
        "class_probabilities",
    )

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
        self.inverse = prior.posterior.make_inverse(inverse)
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

    @property
    def token_decoder(self):
        """The half of the codec from tokens to masks, see `models.codec`."""
        if self.decoder:
            return DirectTokenDecoder(self.decoder, self.posterior.alignment)
        return TokenizerDecoder(self.posterior, self.inverse)

    @property
    def certainty_channels(self):
        is_token = self.prior.certainty_output == "token_probabilities"
        return 1 if is_token else self.num_classes

    @property
    def output_inputs(self):
        return {
            "confidence": ("masks", "certainty"),
            "certainty": (self.prior.certainty_output,),
            "token_probabilities": ("tokens",),
            "class_probabilities": ("tokens",),
            "maskige": ("tokens",),
            "logits": (self.token_decoder.reads,),
            "masks": (self.token_decoder.reads,),
        }

    def learned_layers(self):
        return [self.decoder or self.inverse or self.posterior.inverse]

    def compute_outputs(self, photos, needed, known, training=False):
        """Follow a photo: prior -> tokens -> decoder -> maskige -> X^-1.

        Only what is needed is computed. Arguments and result as for
        `BaseSegmenter.compute_outputs`.
        """
        height, width = ops.shape(photos)[1:3]
        results = dict(known)
        if needed & {"tokens", self.prior.certainty_output}:
            results = {**self.prior.infer(photos, needed), **known}
        tokens = results.get("tokens")
        if "maskige" in needed:
            maskige = self.posterior.tokenizer.decode(tokens)
            results["maskige"] = ops.cast(maskige, "float32")
        maskige = results.get("maskige")
        decoder = self.token_decoder
        if "logits" in needed:
            results["logits"] = decoder.logits(
                tokens, height, width, maskige, training
            )
        if {"logits", "masks"} <= needed:
            results["masks"] = argmax(results["logits"])
        elif "masks" in needed:
            results["masks"] = decoder.masks(tokens, height, width, maskige)
        if "certainty" in needed:
            results["certainty"] = certainty_at_pixels(
                results[self.prior.certainty_output],
                self.posterior.token_stride,
                height,
                width,
            )
        return results

    def predict_maskiges(self, x, batch_size=4, verbose=0, **kwargs):
        """Decode predicted tokens to maskiges, without X^-1.

        Arguments as for `predict`.

        Returns:
            Float32 maskiges in [0, 1], `(..., height, width, 3)`, of
            `mask_scale` times the photos' size, rounded up to whole tokens.
        """
        predict = self._predict_function("maskige", "whole")
        kwargs |= {"batch_size": batch_size, "verbose": verbose}
        return self._map_photos(predict, x, **kwargs)

    def sample(self, photos, n=4, temperature=1.0, seed=None):
        """Sample several masks from the prior's distribution over tokens.

        Where `predict` takes the most probable token at each position, this
        samples tokens from their softmax: where the masks differ, the model
        is uncertain.

        Args:
            photos: One photo or a batch, as for `predict`.
            n: Number of masks per photo.
            temperature: Softmax temperature, above 0.
            seed: Integer that makes the samples reproducible.

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
        batch = ops.convert_to_tensor(batch)
        logits = self.prior.token_logits(batch)
        grid, size = ops.shape(logits)[1:3], logits.shape[-1]
        logits = ops.reshape(logits, (-1, size)) / temperature
        samples = keras.random.categorical(logits, n, dtype="int32", seed=seed)
        masks = []
        for index in range(n):
            tokens = ops.reshape(samples[:, index], (-1, *grid))
            found = self.infer(batch, window="whole", known={"tokens": tokens})
            masks.append(ops.convert_to_numpy(found["masks"]))
        return np.stack(masks if photos.ndim == 4 else [m[0] for m in masks])

    @classmethod
    def from_preset(cls, preset, load_weights=True, posterior=None, dtype=None):
        """Build a segmenter from a folder and load its weights.

        Args:
            preset: Path of a folder written by `save_to_preset`, or the name
                of a bundled preset or a published model, see
                `gss_keras.presets`.
            load_weights: False for random weights.
            posterior: A `LatentPosterior` of other classes to fine-tune on;
                the prior keeps its features, see
                `LatentPrior.with_posterior`.
            dtype: Precision to compute in: "bfloat16" or "float16";
                "mixed_bfloat16" or "mixed_float16" to train; "float32".
                By default that of Keras' global policy.

        Returns:
            A `GenerativeSegmenter`.

        Raises:
            ValueError: If the preset is absent, damaged or of another class,
                or the precision is unknown.
        """
        segmenter = super().from_preset(preset, load_weights, dtype)
        if posterior is None:
            return segmenter
        prior = segmenter.prior.with_posterior(posterior)
        return cls(prior, segmenter.window, segmenter.stride)
