"""What segmenters have in common, whatever they make their scores from."""

import functools

import keras
import numpy as np
from keras import ops

from gss_keras import distribution
from gss_keras.checks import check_classes, check_pair, check_photos
from gss_keras.inference.sliding_window import score_windows, window_and_stride
from gss_keras.inference.views import Views
from gss_keras.models.losses import masked_cross_entropy
from gss_keras.models.metrics import SegmentationScores
from gss_keras.models.stage import Answer, Stage
from gss_keras.ops.backend import argmax
from gss_keras.saving.presets import PresetMixin


class BaseSegmenter(PresetMixin, Stage):
    """Segment photos of any size, whole, in windows or in several views.

    A subclass turns photos into class logits in `call`. `compute_loss` is the
    cross-entropy of pixels, and `evaluate` reports the mIoU beside it.

    Args:
        num_classes: Number of classes.
        window: Height and width in pixels of the windows in which `predict`
            and `evaluate` score a photo unless told otherwise; by default
            they take it as a whole.
        stride: Distance of the windows downwards and sideways; by default two
            thirds of the window.
        classes: Names of the classes in the order of their ids, or None.
        **kwargs: Passed to `keras.Model`.

    Raises:
        ValueError: If `window` and `stride` are no pairs of positive ints, a
            stride exceeds its window, or `classes` are not one name for each
            class.
    """

    def __init__(
        self, num_classes, window=None, stride=None, classes=None, **kwargs
    ):
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.window, self.stride = window_and_stride(window, stride)
        self.config = {"window": self.window, "stride": self.stride}
        if classes is not None:
            self.config["classes"] = check_classes(classes, num_classes)
        self.scores = SegmentationScores(num_classes)

    @property
    def classes(self):
        """Names of the classes, a tuple of strings, or None if not known."""
        names = self.config.get("classes")
        return None if names is None else tuple(names)

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

    def _resolve_window(self, window, stride):
        """Return a window and its stride, both None for whole photos."""
        if window is None:
            window, stride = self.window, stride or self.stride
        if window in (None, "whole"):
            return None, None
        return window_and_stride(window, stride)

    def _score_windows(self, window, stride):
        """Return how to score a batch of photos in windows, None for whole."""
        window, stride = self._resolve_window(window, stride)
        if window is None:
            return None
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

    def export(
        self, filepath, format="tf_saved_model", verbose=None, window=None,
        stride=None, **settings,
    ):  # fmt: skip
        """Write a model that runs without this package.

        It takes `photos`, uint8 `(batch, height, width, 3)` of any size, and
        answers `masks`, int32 of the photos' size, as `predict` does, and
        `confidence`, float32 of the same size: the probability from 0 to 1 of
        the class in the mask.

        Args:
            filepath: A new or empty folder, or a new file in `.onnx`.
            format: "tf_saved_model", which TensorFlow Serving and
                `tf.saved_model.load` read, or "onnx".
            verbose: As in Keras' `export`; nothing is printed either way.
            window: As for `predict`.
            stride: As for `predict`.
            **settings: `outputs`, for "tokens" and "maskige" too; `size`,
                for photos of one size; `version="next"`, `warmup_sizes` and
                `max_batch_size` for TensorFlow Serving; and others, see
                `gss_keras.export.Settings`.

        Returns:
            A `pathlib.Path` of what was written.

        Raises:
            ValueError: If an argument is malformed or something is there
                already.
            ImportError: If a package is not installed: TensorFlow is needed
                whatever the backend.
        """
        from gss_keras.export import export_segmenter

        del verbose
        window, stride = self._resolve_window(window, stride)
        return export_segmenter(
            self, filepath, format, window=window, stride=stride, **settings
        )

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

    # Cached outside Keras' tracking: it wraps this model and is no part of it.
    @functools.cached_property
    def _masks(self):
        answer = Answer(self, lambda photos: argmax(self(photos)))
        return answer.predict

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        del x, sample_weight, training
        self.scores.update_state(y, argmax(y_pred))
        return masked_cross_entropy(y, y_pred, self.num_classes)

    def check_data(self, x, y=None):
        if isinstance(x, np.ndarray) and isinstance(y, np.ndarray):
            check_pair(x, y, self.num_classes)


def _batches(x, y, batch_size):
    """Yield batches of photos and masks as arrays."""
    if y is not None:
        for start in range(0, len(x), batch_size):
            batch = slice(start, start + batch_size)
            yield np.asarray(x[batch]), np.asarray(y[batch])
        return
    for batch in x:
        yield tuple(ops.convert_to_numpy(array) for array in batch[:2])
