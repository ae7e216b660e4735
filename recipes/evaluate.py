r"""Evaluate a preset on folders of photos and masks.

A photo `photos/a.jpg` belongs to the mask `masks/a.png`, whose pixels are
class ids, 255 where ignored. For a converted model of the official release,

    KERAS_BACKEND=jax python recipes/evaluate.py \
        --preset gss_ff_resnet101_cityscapes \
        --photos cityscapes/val --masks cityscapes/val_train_ids --expect 77.76

says whether the published score came out: if not, the exit status is 1. A
preset is evaluated whole or in windows as it was made; ADE20K's and MSeg's
photos were brought to 2048 x 512 first (`--fit 2048 512`).
"""

import dataclasses
import pathlib
import sys

import numpy as np
import tyro
from keras import ops

import gss_keras
from gss_keras import data
from gss_keras.layers.backend import resize_bilinear


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to evaluate, and on what."""

    preset: str
    """Folder or name of a preset."""
    photos: pathlib.Path
    masks: pathlib.Path
    fit: tuple[int, int] | None = None
    """Longest and shortest side that photos are scaled to fit in, keeping
    their ratio; their scores are scaled back."""
    limit: int | None = None
    """Evaluate only so many photos."""
    expect: float | None = None
    """The mIoU that should come out, in percent."""
    tolerance: float = 0.1
    """How far from it is close enough."""


def score(segmenter, photo, fit):
    """Return the class scores of a photo, `(height, width, num_classes)`."""
    if fit is None:
        return segmenter.predict_logits(photo)
    sides = photo.shape[:2]
    factor = min(max(fit) / max(sides), min(fit) / min(sides))
    size = [int(side * factor + 0.5) for side in sides]
    photo = ops.convert_to_tensor(photo[None].astype("float32"))
    photo = ops.convert_to_numpy(resize_bilinear(photo, *size))
    logits = segmenter.predict_logits(np.clip(photo, 0, 255))
    logits = resize_bilinear(ops.convert_to_tensor(logits), *sides)
    return ops.convert_to_numpy(logits)[0]


def main(settings):
    """Print the scores, class by class."""
    segmenter = gss_keras.GenerativeSegmenter.from_preset(settings.preset)
    count = segmenter.posterior.num_classes
    source = data.Folders(
        settings.photos, settings.masks, [f"class {i}" for i in range(count)]
    )
    scores = gss_keras.SegmentationScores(count)
    for index in range(min(len(source), settings.limit or len(source))):
        record = source[index]
        logits = score(segmenter, record["photo"], settings.fit)
        scores.update_state(record["mask"], logits.argmax(-1))
    for index, iou in enumerate(scores.class_iou()):
        print(f"  class {index:<4}{iou:6.1f}")
    results = {k: float(v) for k, v in scores.result().items()}
    print(", ".join(f"{k} {v:.2f}" for k, v in results.items()))
    if settings.expect is not None:
        difference = abs(results["mIoU"] - settings.expect)
        came_out = difference <= settings.tolerance
        answer = "came out" if came_out else "did not come out"
        print(f"{settings.expect:.2f} {answer}: {results['mIoU']:.2f}")
        if not came_out:
            sys.exit(1)
    return results


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
