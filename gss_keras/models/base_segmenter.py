"""Base class of the segmenters: predict, evaluate, export."""

import functools

import keras
import numpy as np
from keras import ops

from gss_keras import distribution
from gss_keras.checks import check_classes, check_pair, check_photos
from gss_keras.inference.sliding_window import score_windows, window_and_stride
from gss_keras.inference.views import Views
from gss_keras.models.inference import (
    InferenceModel,
    confidence_of,
    infer_in_windows,
    required,
)
from gss_keras.models.losses import masked_cross_entropy
from gss_keras.models.metrics import SegmentationScores
from gss_keras.models.stage import Stage
from gss_keras.ops.backend import argmax
from gss_keras.saving.presets import PresetMixin


class BaseSegmenter(PresetMixin, Stage):
    """Segment photos of any size, whole, in windows or in several views.

    A subclass implements `compute_logits`, or `compute_outputs` where it
    offers more; `infer` is the public method, and `predict`, `evaluate` and
    `export` call that. `compute_loss` is the cross-entropy per pixel, and
    `evaluate` reports the mIoU beside it.

    Args:
        num_classes: Number of classes.
        window: Height and width in pixels of the windows in which `predict`
            and `evaluate` segment a photo unless told otherwise; by default
            they take it as a whole.
        stride: Vertical and horizontal distance of the windows; by default
            two thirds of the window.
        classes: Names of the classes in the order of their ids, or None.
        **kwargs: Passed to `keras.Model`.

    Attributes:
        output_names: Names of the outputs that `infer` offers.
        output_inputs: Dict from an output to the values it is computed from,
            see `gss_keras.models.inference.required`.
        certainty_channels: Channels of the value "certainty".

    Raises:
        ValueError: If `window` and `stride` are no pairs of positive ints, a
            stride exceeds its window, or `classes` are not one name for each
            class.
    """

    output_names = ("masks", "confidence", "logits")
    output_inputs = {
        "confidence": ("masks", "certainty"),
        "certainty": ("logits",),
        "masks": ("logits",),
    }

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

    @property
    def certainty_channels(self):
        return self.num_classes

    def compute_outputs(self, photos, needed, known, training=False):
        """Compute values of whole photos.

        Args:
            photos: Tensor of shape `(batch, height, width, 3)`, raw 0-255.
            needed: Set of names of the values to compute.
            known: Dict of values that are known already.
            training: Whether the part that `fit` trains is being trained.

        Returns:
            A dict of at least the needed values, except `confidence`.
        """
        del known
        logits = self.compute_logits(photos, training=training)
        results = {"logits": ops.cast(logits, "float32")}
        if "masks" in needed:
            results["masks"] = argmax(results["logits"])
        if "certainty" in needed:
            results["certainty"] = ops.softmax(results["logits"])
        return results

    def compute_logits(self, photos, training=False):
        """Return class logits of photos, `(batch, height, width, K)`."""
        raise NotImplementedError

    def infer(
        self, photos, outputs=("masks",), window=None, stride=None, known=None,
        training=False,
    ):  # fmt: skip
        """Compute outputs of photos: the one road from photo to mask.

        It traces in the graphs of all backends, and its inputs may have sizes
        that are known only at run time. `predict`, `evaluate`, `sample`,
        `export` and the live page call it.

        Args:
            photos: Tensor of shape `(batch, height, width, 3)`, raw RGB
                0-255.
            outputs: Names of the outputs to compute, of `output_names`.
            window: As for `predict`.
            stride: As for `predict`.
            known: Dict of outputs of an earlier call on the same photos, from
                which to continue, such as `{"tokens": tokens}`.
            training: Whether the part that `fit` trains is being trained.

        Returns:
            A dict of the outputs: `masks`, int32 `(batch, height, width)`,
            ids in `[0, num_classes)`; `logits`, float32 `(batch, height,
            width, num_classes)`; `confidence`, float32 `(batch, height,
            width)` in [0, 1], the probability of the class in the mask. It is
            computed from the branch that classifies pixels: all of a
            `DiscriminativeSegmenter`, the pixel branch of a
            `GenerativeSegmenter`. Where the prior has no pixel branch, it is
            the probability of the predicted token, a conservative estimate,
            since several tokens may decode to the same class. See
            `GenerativeSegmenter` for its further outputs.

        Raises:
            ValueError: If an output is unknown or not available in windows,
                or `known` is given for windows.
        """
        window, stride = self.resolve_window(window, stride)
        self.check_outputs(outputs, window)
        if window is None:
            return self._infer_whole(photos, outputs, known, training)
        if known:
            raise ValueError(
                "`known` must be None in windows, each of which has values "
                "of its own. Give `window='whole'`. "
                f"Received: known of {sorted(known)}, window={window}"
            )
        return infer_in_windows(
            self._infer_whole, photos, outputs, window, stride,
            self.num_classes, self.certainty_channels,
        )  # fmt: skip

    def _infer_whole(self, photos, outputs, known=None, training=False):
        known = known or {}
        needed = required(outputs, known, self.output_inputs)
        results = self.compute_outputs(photos, needed, known, training)
        if "confidence" in needed:
            results["confidence"] = confidence_of(
                results["certainty"], results["masks"]
            )
        return {name: results[name] for name in outputs}

    def check_outputs(self, outputs, window=None):
        """Check that this segmenter has some outputs.

        Args:
            outputs: Names of the outputs.
            window: Height and width of windows, None for whole photos.

        Raises:
            ValueError: If a name is unknown, or not available in windows.
        """
        if not outputs or set(outputs) - set(self.output_names):
            raise ValueError(
                f"`outputs` must name one or more of {self.output_names}. "
                f"Received: outputs={outputs} of a {type(self).__name__}"
            )
        in_windows = set(BaseSegmenter.output_names)
        if window is not None and set(outputs) - in_windows:
            raise ValueError(
                "`outputs` are only 'masks', 'confidence' and 'logits' in "
                "windows, each of which has tokens of its own. Give "
                "`window='whole'`, or leave out the others. "
                f"Received: outputs={outputs}, window={window}"
            )

    def resolve_window(self, window, stride):
        """Return a window and its stride, both None for whole photos.

        Args:
            window: Height and width in pixels, "whole", or None for the
                segmenter's own.
            stride: Vertical and horizontal distance of windows, or None.
        """
        if window is None:
            window, stride = self.window, stride or self.stride
        if window in (None, "whole"):
            return None, None
        return window_and_stride(window, stride)

    def call(self, photos, training=None):
        return self.infer(photos, ("logits",), "whole", training=training)[
            "logits"
        ]

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
            batch_size: Number of photos per batch.
            verbose: 1 shows a progress bar.
            window: Height and width in pixels of the windows in which a large
                photo is segmented; their logits are averaged where they
                overlap. "whole" for none; by default as configured in the
                constructor.
            stride: Vertical and horizontal distance of the windows; by
                default two thirds of the window.
            views: A `gss_keras.views.Views` for test-time augmentation; none
                by default.
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
            predict = functools.partial(
                self._masks_of_views, views, window=window, stride=stride
            )
        else:
            predict = self._predict_function("masks", window, stride)
        return self._map_photos(predict, x, **kwargs)

    def predict_logits(
        self, x, batch_size=4, verbose=0, window=None, stride=None, **kwargs
    ):
        """Compute the class logits of every pixel; arguments as for `predict`.

        Returns:
            Float32 class logits, with one more axis of `num_classes` than the
            masks of `predict`.
        """
        kwargs |= {"batch_size": batch_size, "verbose": verbose}
        predict = self._predict_function("logits", window, stride)
        return self._map_photos(predict, x, **kwargs)

    def _predict_function(self, output, window=None, stride=None):
        """Return a function from a batch of photos to one output, as arrays.

        Windows are cut out here and not in the graph: it is compiled for the
        size of a window once, not for the size of every photo.
        """
        window, stride = self.resolve_window(window, stride)
        if window is None:
            return self._inference_model(output).predict
        predict = self._inference_model("logits").predict

        def predict_in_windows(photos, **kwargs):
            logits = score_windows(
                lambda crops: predict(crops, **kwargs), photos, window, stride
            )
            if output == "logits":
                return logits
            return logits.argmax(axis=-1).astype("int32")

        return predict_in_windows

    def _inference_model(self, output):
        if output not in self._inference_models:
            self._inference_models[output] = InferenceModel(
                self,
                lambda photos: self.infer(photos, (output,), "whole")[output],
            )
        return self._inference_models[output]

    # Cached outside Keras' tracking: the models wrap this one.
    @functools.cached_property
    def _inference_models(self):
        return {}

    def _masks_of_views(self, views, photos, **kwargs):
        score = functools.partial(self.predict_logits, **kwargs)
        photos = check_photos(photos)
        return np.stack([views.predict_mask(score, photo) for photo in photos])

    def _map_photos(self, predict, x, **kwargs):
        """Apply a function of batches to one photo, a batch or a list."""
        if isinstance(x, list | tuple) and all(
            np.ndim(photo) == 3 for photo in x
        ):
            return [self._map_photos(predict, photo, **kwargs) for photo in x]
        if not isinstance(x, np.ndarray):
            return predict(x, **kwargs)
        if check_photos(x).ndim == 3:
            return predict(x[None], **kwargs)[0]
        return predict(x, **kwargs)

    def evaluate(self, x=None, y=None, window=None, stride=None, **kwargs):
        """Evaluate predicted masks against true ones.

        Args:
            x: Photos `(batch, height, width, 3)`, or anything that Keras'
                `evaluate` reads batches of photos and masks from.
            y: Int masks `(batch, height, width)`, 255 where ignored, unless
                `x` yields them.
            window: As for `predict`.
            stride: As for `predict`.
            **kwargs: Passed to Keras' `evaluate`.

        Returns:
            List of `loss`, `mIoU`, `mAcc` and `pixel_accuracy`, the scores in
            percent; with `return_dict=True` a dict.
        """
        window, stride = self.resolve_window(window, stride)
        if window is None:
            return super().evaluate(x, y, **kwargs)
        self.check_data(x, y)
        score = self._predict_function("logits", window, stride)
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

    def export(
        self, filepath, format="tf_saved_model", verbose=None, window=None,
        stride=None, **settings,
    ):  # fmt: skip
        """Export a model that runs without this package.

        It takes `photos`, uint8 `(batch, height, width, 3)` of any size, and
        returns `masks`, int32 of the photos' size, as `predict` does, and
        `confidence`, float32 of the same size: the probability in [0, 1] of
        the class in the mask.

        Args:
            filepath: A new or empty folder, or a new file in `.onnx`.
            format: "tf_saved_model", for TensorFlow Serving and
                `tf.saved_model.load`, or "onnx".
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
            ValueError: If an argument is malformed or the path exists
                already.
            ImportError: If a package is not installed: TensorFlow is needed
                whatever the backend.
        """
        from gss_keras.export import export_segmenter

        del verbose
        window, stride = self.resolve_window(window, stride)
        return export_segmenter(
            self, filepath, format, window=window, stride=stride, **settings
        )

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        del x, sample_weight, training
        self.scores.update_state(y, argmax(y_pred))
        loss = masked_cross_entropy(y, y_pred, self.num_classes)
        return distribution.split_loss(loss)

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
