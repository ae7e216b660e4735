"""From photo to mask: the prior's tokens, decoded and read back."""

import functools

import keras
import numpy as np
from keras import ops

from gss_keras import distribution
from gss_keras.checks import check_pair, check_photos
from gss_keras.layers.backend import argmax
from gss_keras.losses import masked_cross_entropy
from gss_keras.metrics import SegmentationScores
from gss_keras.presets import PresetMixin
from gss_keras.sliding_window import score_windows, window_and_stride
from gss_keras.stage import Answer, Stage
from gss_keras.views import Views


@keras.saving.register_keras_serializable(package="gss_keras")
class GenerativeSegmenter(PresetMixin, Stage):
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
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        photos: Tensor of shape `(batch, height, width, 3)`, uint8 or float,
            raw RGB 0-255. Any height and width.

    Returns:
        Float32 class logits of shape `(batch, height, width, num_classes)`.

    Raises:
        ValueError: If `window` and `stride` are no pairs of positive ints, or
            a stride exceeds its window.

    Reference:
        Chen et al., "Generative Semantic Segmentation", CVPR 2023, figure 2.
    """

    parts = ("prior", "inverse")
    frozen_part = "prior"

    def __init__(self, prior, window=None, stride=None, inverse=None, **kwargs):
        super().__init__(**kwargs)
        self.window, self.stride = window_and_stride(window, stride)
        self.config = {"window": self.window, "stride": self.stride}
        self.prior = prior
        self.inverse = prior.posterior.adopt_inverse(inverse)
        self.built = True
        self.scores = SegmentationScores(prior.posterior.num_classes)

    @property
    def posterior(self):
        """The `LatentPosterior` that decodes the tokens."""
        return self.prior.posterior

    def learned_layers(self):
        return [self.inverse or self.posterior.inverse]

    def call(self, photos, training=None):
        tokens = self.prior.predict_tokens(photos)
        maskige = self.posterior.tokenizer.decode(tokens)
        height, width = ops.shape(photos)[1], ops.shape(photos)[2]
        return self.posterior.class_logits(
            maskige, height, width, training=training, inverse=self.inverse
        )

    def predict(
        self, x, batch_size=4, verbose=0, window=None, stride=None,
        views=None, **kwargs,
    ):  # fmt: skip
        """Segment photos.

        Args:
            x: One photo `(height, width, 3)`, a batch of them `(batch,
                height, width, 3)`, uint8 or float, raw RGB 0-255, a list of
                photos of different sizes, or anything else that Keras'
                `predict` reads batches from.
            batch_size: Number of photos that are segmented at a time.
            verbose: 1 shows a progress bar.
            window: Height and width in pixels of the windows that a large
                photo is scored in; their logits are averaged where they
                overlap. "whole" for none; by default as the segmenter was
                made.
            stride: Distance of the windows downwards and sideways; by default
                two thirds of the window.
            views: A `gss_keras.views.Views`, in which copies of itself each
                photo is scored; by default only as it is.
            **kwargs: Passed to Keras' `predict`.

        Returns:
            Int32 masks of the photos' sizes, ids in `[0, num_classes)`:
            `(height, width)` for one photo, `(batch, height, width)` for a
            batch, a list of masks for a list.

        Raises:
            ValueError: If an array is no photo, see `check_photos`.
        """
        kwargs |= {"batch_size": batch_size, "verbose": verbose}
        if views not in (None, Views()):
            masks = functools.partial(
                self._masks_of_views, views, window=window, stride=stride
            )
            return self._predict_with(masks, x, **kwargs)
        score = self._score_windows(window, stride)
        if score is None:
            return self._predict_with(self._masks, x, **kwargs)

        def masks(photos, **kwargs):
            return score(photos, **kwargs).argmax(axis=-1).astype("int32")

        return self._predict_with(masks, x, **kwargs)

    def predict_logits(
        self, x, batch_size=4, verbose=0, window=None, stride=None, **kwargs
    ):
        """Score every class at every pixel; arguments as for `predict`.

        Returns:
            Float32 class logits, one more axis of `num_classes` than the
            masks that `predict` gives.
        """
        kwargs |= {"batch_size": batch_size, "verbose": verbose}
        score = self._score_windows(window, stride) or super().predict
        return self._predict_with(score, x, **kwargs)

    def _masks_of_views(self, views, photos, **kwargs):
        score = functools.partial(self.predict_logits, **kwargs)
        photos = check_photos(photos)
        return np.stack([views.predict_mask(score, photo) for photo in photos])

    def _score_windows(self, window, stride):
        """Return how to score a batch of photos in windows, None for whole."""
        if window is None:
            window, stride = self.window, stride or self.stride
        if window in (None, "whole"):
            return None
        window, stride = window_and_stride(window, stride)
        predict = super().predict

        def score(photos, **kwargs):
            return score_windows(
                lambda crops: predict(crops, **kwargs), photos, window, stride
            )

        return score

    def evaluate(self, x=None, y=None, window=None, stride=None, **kwargs):
        """Score the masks of photos against true ones.

        Args:
            x: Photos `(batch, height, width, 3)`, or anything that Keras'
                `evaluate` reads batches of photos and masks from.
            y: Int masks `(batch, height, width)`, 255 where ignored, unless
                `x` gives them.
            window: As for `predict`.
            stride: As for `predict`.
            **kwargs: Passed to Keras' `evaluate`.

        Returns:
            What Keras' `evaluate` returns: `loss`, `mIoU`, `mAcc` and
            `pixel_accuracy` (in percent), with `return_dict=True` as a dict.
        """
        score = self._score_windows(window, stride)
        if score is None:
            return super().evaluate(x, y, **kwargs)
        self.check_data(x, y)
        return self._evaluate_windows(score, x, y, **kwargs)

    def _evaluate_windows(
        self, score, x, y, batch_size=4, verbose=0, return_dict=False
    ):
        loss = keras.metrics.Mean("loss")
        self.scores.reset_state()
        with distribution.shared_evaluation(x, [loss, self.scores]):
            for photos, masks in _batches(x, y, batch_size):
                logits = score(photos, verbose=verbose)
                loss.update_state(
                    self.compute_loss(y=masks, y_pred=logits), len(photos)
                )
        results = {"loss": loss.result(), **self.scores.result()}
        results = {name: float(value) for name, value in results.items()}
        return results if return_dict else list(results.values())

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
        masks = [
            self._decode(
                ops.reshape(drawn[:, i], (-1, *grid)), batch.shape[1:3]
            )
            for i in range(n)
        ]
        return np.stack(masks if photos.ndim == 4 else [m[0] for m in masks])

    def _decode(self, tokens, size):
        maskige = self.posterior.tokenizer.decode(tokens)
        logits = self.posterior.class_logits(
            maskige, *size, inverse=self.inverse
        )
        return ops.convert_to_numpy(argmax(logits))

    def _predict_with(self, predict, x, **kwargs):
        if isinstance(x, list | tuple) and all(
            np.ndim(photo) == 3 for photo in x
        ):
            return [self._predict_with(predict, photo, **kwargs) for photo in x]
        if not isinstance(x, np.ndarray):
            return predict(x, **kwargs)
        if check_photos(x).ndim == 3:
            return predict(x[None], **kwargs)[0]
        return predict(x, **kwargs)

    # Cached outside Keras' tracking: each wraps this model and is no part of
    # it.
    @functools.cached_property
    def _masks(self):
        answer = Answer(self, lambda photos: argmax(self(photos)))
        return answer.predict

    @functools.cached_property
    def _maskiges(self):
        def maskige(photos):
            tokens = self.prior.predict_tokens(photos)
            return self.posterior.tokenizer.decode(tokens)

        return Answer(self, maskige).predict

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        del x, sample_weight, training
        self.scores.update_state(y, argmax(y_pred))
        return masked_cross_entropy(y, y_pred, self.posterior.num_classes)

    def check_data(self, x, y=None):
        if isinstance(x, np.ndarray) and isinstance(y, np.ndarray):
            check_pair(x, y, self.posterior.num_classes)

    @classmethod
    def from_preset(cls, preset, load_weights=True, posterior=None):
        """Build a segmenter from a folder and load its weights.

        Args:
            preset: Path of a folder written by `save_to_preset`, or the name
                of a bundled preset or a published model, see
                `gss_keras.presets`.
            load_weights: False for random weights.
            posterior: A `LatentPosterior` of other classes to go on with; the
                prior keeps its features, see `LatentPrior.with_posterior`.

        Returns:
            A `GenerativeSegmenter`.

        Raises:
            ValueError: If the preset is absent, damaged or of another class.
        """
        segmenter = super().from_preset(preset, load_weights)
        if posterior is None:
            return segmenter
        prior = segmenter.prior.with_posterior(posterior)
        return cls(prior, segmenter.window, segmenter.stride)


def _batches(x, y, batch_size):
    """Yield batches of photos and masks as arrays."""
    if y is not None:
        for start in range(0, len(x), batch_size):
            batch = slice(start, start + batch_size)
            yield np.asarray(x[batch]), np.asarray(y[batch])
        return
    for batch in x:
        yield tuple(ops.convert_to_numpy(array) for array in batch[:2])
