"""From photos to outputs: what `predict`, `evaluate`, exports and the page run.

Every segmenter has one method `infer(photos, outputs)`, which traces on all
backends. This module holds what it is built from: which outputs depend on
which, confidence, sliding windows, and a Keras model that runs it.
"""

from keras import ops

from gss_keras.inference.sliding_window import score_windows
from gss_keras.models.stage import Predictor
from gss_keras.ops.backend import argmax, resize_bilinear


class InferenceModel(Predictor):
    """Run a function of a model on batches, through Keras' `predict`.

    Args:
        model: The Keras model whose weights the function uses.
        function: Traceable function from a batch to tensors.
    """

    def __init__(self, model, function):
        super().__init__(name="inference")
        self.model = model
        self.function = function
        self.built = True

    def call(self, photos, training=None):
        # Unused, but in the signature so that Keras passes `training=False`
        # on to all inner layers. Without it, Keras' preprocessing layers, as
        # in KerasHub's heads, switch the layers after them to training mode.
        del training
        return self.function(photos)


def required(outputs, known, inputs):
    """Return all values that some outputs depend on and that are not known.

    Args:
        outputs: Names of the outputs.
        known: Names of values that are known already.
        inputs: Dict from the name of a value to those it is computed from.

    Returns:
        Set of names, the outputs included unless known.

    Example:
        >>> inputs = {"masks": ["maskige"], "maskige": ["tokens"]}
        >>> sorted(required(["masks"], ["tokens"], inputs))
        ['maskige', 'masks']
    """
    needed, pending = set(), list(outputs)
    while pending:
        name = pending.pop()
        if name not in needed and name not in known:
            needed.add(name)
            pending += inputs.get(name, ())
    return needed


def certainty_at_pixels(certainty, stride, height, width):
    """Bring the probabilities of token positions to the size of the photo.

    Args:
        certainty: Float tensor `(batch, rows, columns, num_classes)`, class
            probabilities, which are interpolated; or `(batch, rows,
            columns)`, token probabilities, which are repeated.
        stride: Stride of the tokens in pixels of the photo.
        height: Height of the photo in pixels.
        width: Width of the photo in pixels.

    Returns:
        Float tensor `(batch, height, width, num_classes or 1)`.
    """
    if len(certainty.shape) == 3:
        certainty = ops.repeat(certainty[..., None], stride, axis=1)
        certainty = ops.repeat(certainty, stride, axis=2)
    else:
        rows, columns = ops.shape(certainty)[1:3]
        certainty = resize_bilinear(certainty, stride * rows, stride * columns)
    return certainty[:, :height, :width]


def confidence_of(certainty, masks):
    """Return the probability of each pixel's class in a mask.

    Args:
        certainty: Float tensor `(batch, height, width, num_classes or 1)`.
        masks: Int tensor `(batch, height, width)`.

    Returns:
        Float tensor `(batch, height, width)`.
    """
    if certainty.shape[-1] == 1:
        return certainty[..., 0]
    chosen = ops.take_along_axis(certainty, masks[..., None], axis=-1)
    return chosen[..., 0]


def infer_in_windows(
    infer, photos, outputs, window, stride, num_classes, certainty_channels
):
    """Compute outputs of photos in sliding windows.

    Args:
        infer: Function from photos and names of outputs to a dict of them.
        photos: Tensor of shape `(batch, height, width, 3)`.
        outputs: Names among "masks", "logits" and "confidence".
        window: Height and width in pixels of the windows.
        stride: Vertical and horizontal distance of the windows.
        num_classes: Number of classes K.
        certainty_channels: Channels of the value "certainty", K or 1.

    Returns:
        A dict of the outputs. Logits and certainties are averaged where
        windows overlap.
    """
    has_confidence = "confidence" in outputs
    parts = ("logits", "certainty") if has_confidence else ("logits",)
    channels = num_classes + (certainty_channels if has_confidence else 0)

    def score(crops):
        results = infer(crops, parts)
        scores = [ops.cast(results[part], "float32") for part in parts]
        return ops.concatenate(scores, axis=-1) if has_confidence else scores[0]

    scores = score_windows(score, photos, window, stride, channels)
    results = {"logits": scores[..., :num_classes]}
    if has_confidence or "masks" in outputs:
        results["masks"] = argmax(results["logits"])
    if has_confidence:
        certainty = scores[..., num_classes:]
        results["confidence"] = confidence_of(certainty, results["masks"])
    return {name: results[name] for name in outputs}
