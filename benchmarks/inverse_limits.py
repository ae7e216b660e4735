"""Bound how many of a prior's errors a learned inverse mapping can correct.

A prior errs differently on its training photos than on new ones, so an inverse
trained on predictions for training photos sees the wrong errors. Here the
inverse is trained on the prior's predictions for one half of CamVid's val
photos and evaluated on the other half, which is more favorable than any real
training. What it does not gain here cannot be inferred from maskiges.

    KERAS_BACKEND=tensorflow python benchmarks/inverse_limits.py \
        --camvid CamVid --preset outputs/camvid/preset
"""

import dataclasses
import pathlib

import keras
import numpy as np
import tyro
from keras import ops

import gss_keras
from gss_keras import data, metrics
from gss_keras.maskige import NearestColorInverse
from gss_keras.models.losses import masked_cross_entropy

CROP = (160, 192)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Command-line settings."""

    camvid: pathlib.Path
    """Folder of CamVid in the layout of the SegNet tutorial."""
    preset: pathlib.Path
    """Preset of a trained `GenerativeSegmenter`."""
    steps: int = 400
    batch_size: int = 4
    learning_rate: float = 3e-3
    jaccard: bool = False
    """Add the soft Jaccard loss to the cross-entropy."""
    seed: int = 0


def build(palette):
    """Build a CNN, receptive field 140 pixels, on top of nearest colors."""
    layers = keras.layers
    maskige = keras.Input((None, None, 3))

    def convolve(x, channels, kernel, **kwargs):
        return layers.Conv2D(
            channels, kernel, padding="same", activation="relu", **kwargs
        )(x)

    context = convolve(maskige, 64, 5, strides=4)
    for dilation in (1, 2, 4, 8, 1):
        context += convolve(context, 64, 3, dilation_rate=dilation)
    context = layers.Conv2DTranspose(
        32, 4, strides=4, padding="same", activation="relu"
    )(context)
    detail = convolve(maskige, 32, 5)
    features = convolve(layers.Concatenate()([context, detail]), 32, 3)
    residual = layers.Conv2D(
        len(palette), 3, padding="same", kernel_initializer="zeros"
    )(features)
    logits = NearestColorInverse(palette)(maskige) + residual
    return keras.Model(maskige, logits)


def make_loss(num_classes, jaccard):
    """Return the loss function: cross-entropy, and soft Jaccard loss."""

    def loss(masks, logits):
        value = masked_cross_entropy(masks, logits, num_classes)
        if not jaccard:
            return value
        known = ops.cast(masks < num_classes, "float32")[..., None]
        probabilities = ops.softmax(logits) * known
        one_hot = ops.one_hot(ops.minimum(masks, num_classes), num_classes + 1)
        one_hot = one_hot[..., :-1]
        intersection = ops.sum(probabilities * one_hot, (0, 1, 2))
        union = ops.sum(probabilities + one_hot, (0, 1, 2)) - intersection
        present = ops.cast(ops.sum(one_hot, (0, 1, 2)) > 0, "float32")
        iou = ops.sum(present * intersection / (union + 1)) / ops.sum(present)
        return 0.3 * value + 1 - iou

    return loss


def crops(settings, maskiges, masks):
    """Yield the random crops of all training steps."""
    generator = np.random.default_rng(settings.seed)
    count = settings.steps * settings.batch_size
    tops, lefts = (
        n - c + 1 for n, c in zip(masks.shape[1:], CROP, strict=True)
    )
    for _ in range(count):
        index = generator.integers(len(masks))
        top, left = generator.integers(tops), generator.integers(lefts)
        area = index, slice(top, top + CROP[0]), slice(left, left + CROP[1])
        yield maskiges[area], masks[area]


def score(model, maskiges, masks, num_classes):
    """Return the IoU of each class in percent."""
    confusion = 0
    for maskige, mask in zip(maskiges, masks, strict=True):
        logits = model.predict(maskige[None].astype("float32"), verbose=0)
        confusion += metrics.confusion_matrix(
            mask, logits[0].argmax(-1), num_classes
        )
    return metrics.class_iou(confusion)


def main(settings):
    """Print mIoU and class IoUs of the nearest-color and trained inverses."""
    segmenter = gss_keras.GenerativeSegmenter.from_preset(settings.preset)
    posterior = segmenter.posterior
    count, palette = posterior.num_classes, posterior.palette
    photos, masks = data.load_all(data.CamVid(settings.camvid, "val"))
    maskiges = segmenter.predict_maskiges(photos).astype("float16")
    maskiges = maskiges[:, : masks.shape[1], : masks.shape[2]]
    middle = len(masks) // 2
    # Drop one photo between the halves: consecutive photos of the video are
    # similar.
    halves = [slice(0, middle), slice(middle + 1, None)]
    for train, test in (halves, halves[::-1]):
        keras.utils.set_random_seed(settings.seed)
        model = build(palette)
        nearest_color = score(model, maskiges[test], masks[test], count)
        model.compile(
            keras.optimizers.AdamW(
                keras.optimizers.schedules.CosineDecay(
                    settings.learning_rate, settings.steps
                )
            ),
            make_loss(count, settings.jaccard),
        )
        x, y = zip(*crops(settings, maskiges[train], masks[train]), strict=True)
        model.fit(np.stack(x), np.stack(y), settings.batch_size, verbose=0)
        for name, iou in (
            ("nearest color, test half", nearest_color),
            (
                "trained, training half",
                score(model, maskiges[train], masks[train], count),
            ),
            (
                "trained, test half",
                score(model, maskiges[test], masks[test], count),
            ),
        ):
            mean = metrics.mean_of_present(iou)
            print(f"{name:<28}{mean:6.2f}", np.round(iou, 1).tolist())


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
