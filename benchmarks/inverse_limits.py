"""How much could an inverse mapping mend of a prior's mistakes?

Trained on predictions for photos that the prior has learned, an inverse sees
other mistakes than on new photos. So here it gets better conditions than it
ever has: it learns on the prior's predictions for one half of CamVid's val
photos and is scored on the other half. What it does not gain then, a maskige
does not tell.

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
    """What to measure."""

    camvid: pathlib.Path
    preset: pathlib.Path
    """A trained `GenerativeSegmenter`."""
    steps: int = 400
    batch_size: int = 4
    learning_rate: float = 3e-3
    jaccard: bool = False
    """Add the mean of soft IoUs to the cross-entropy."""
    seed: int = 0


def build(palette):
    """Correct the nearest color by what is seen up to 70 pixels around."""
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
    near = convolve(maskige, 32, 5)
    both = convolve(layers.Concatenate()([context, near]), 32, 3)
    change = layers.Conv2D(
        len(palette), 3, padding="same", kernel_initializer="zeros"
    )(both)
    return keras.Model(maskige, NearestColorInverse(palette)(maskige) + change)


def make_loss(num_classes, jaccard):
    """Return the loss of logits."""

    def loss(masks, logits):
        value = masked_cross_entropy(masks, logits, num_classes)
        if not jaccard:
            return value
        known = ops.cast(masks < num_classes, "float32")[..., None]
        found = ops.softmax(logits) * known
        true = ops.one_hot(ops.minimum(masks, num_classes), num_classes + 1)
        true = true[..., :-1]
        shared = ops.sum(found * true, (0, 1, 2))
        union = ops.sum(found + true, (0, 1, 2)) - shared
        present = ops.cast(ops.sum(true, (0, 1, 2)) > 0, "float32")
        iou = ops.sum(present * shared / (union + 1)) / ops.sum(present)
        return 0.3 * value + 1 - iou

    return loss


def crops(settings, maskiges, masks):
    """Cut random crops, all that a training will need."""
    generator = np.random.default_rng(settings.seed)
    count = settings.steps * settings.batch_size
    high, wide = (n - c + 1 for n, c in zip(masks.shape[1:], CROP, strict=True))
    for _ in range(count):
        index = generator.integers(len(masks))
        top, left = generator.integers(high), generator.integers(wide)
        area = index, slice(top, top + CROP[0]), slice(left, left + CROP[1])
        yield maskiges[area], masks[area]


def score(model, maskiges, masks, num_classes):
    """Return the IoUs of all classes, in percent."""
    confusion = 0
    for maskige, mask in zip(maskiges, masks, strict=True):
        logits = model.predict(maskige[None].astype("float32"), verbose=0)
        confusion += metrics.confusion_matrix(
            mask, logits[0].argmax(-1), num_classes
        )
    return metrics.class_iou(confusion)


def main(settings):
    """Print the IoUs of nearest color and trained inverse on each half."""
    segmenter = gss_keras.GenerativeSegmenter.from_preset(settings.preset)
    posterior = segmenter.posterior
    count, palette = posterior.num_classes, posterior.palette
    photos, masks = data.load_all(data.CamVid(settings.camvid, "val"))
    maskiges = segmenter.predict_maskiges(photos).astype("float16")
    maskiges = maskiges[:, : masks.shape[1], : masks.shape[2]]
    middle = len(masks) // 2
    # Photos follow each other in time: the last of the first half is close to
    # the first of the second.
    halves = [slice(0, middle), slice(middle + 1, None)]
    for learned, unseen in (halves, halves[::-1]):
        keras.utils.set_random_seed(settings.seed)
        model = build(palette)
        start = score(model, maskiges[unseen], masks[unseen], count)
        model.compile(
            keras.optimizers.AdamW(
                keras.optimizers.schedules.CosineDecay(
                    settings.learning_rate, settings.steps
                )
            ),
            make_loss(count, settings.jaccard),
        )
        x, y = zip(
            *crops(settings, maskiges[learned], masks[learned]), strict=True
        )
        model.fit(np.stack(x), np.stack(y), settings.batch_size, verbose=0)
        for name, iou in (
            ("nearest color, unseen half", start),
            (
                "trained, its own half",
                score(model, maskiges[learned], masks[learned], count),
            ),
            (
                "trained, unseen half",
                score(model, maskiges[unseen], masks[unseen], count),
            ),
        ):
            mean = metrics.mean_of_present(iou)
            print(f"{name:<28}{mean:6.2f}", np.round(iou, 1).tolist())


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
