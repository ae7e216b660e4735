"""Find what limits the mIoU and boundary F-score of a generative segmenter.

Each row evaluates masks of a different origin: reconstruction of the true
masks (the upper bound), prediction with the prior's tokens, the prior's pixel
branch alone, and majority votes of several masks sampled from the prior,
without and with the pixel branch.

    KERAS_BACKEND=tensorflow python benchmarks/gap.py \
        --camvid CamVid --preset camvid
"""

import dataclasses
import functools
import pathlib

import numpy as np
import tyro
from keras import ops

from gss_keras import GenerativeSegmenter, data, evaluation
from gss_keras.ops.backend import argmax, resize_bilinear


@dataclasses.dataclass(frozen=True)
class Settings:
    """Command-line settings."""

    camvid: pathlib.Path
    """Folder of CamVid in the layout of the SegNet tutorial."""
    preset: str = "camvid"
    """Folder or name of a preset of a generative segmenter."""
    fit: tuple[int, int] | None = None
    """Longest and shortest side that photos are resized to fit."""
    votes: int = 8
    """Number of masks to sample for a majority vote."""
    limit: int | None = None
    """Number of evenly spaced photos to use; all by default."""


class MaskAwareSegmenter:
    """Segmenter whose predictions may depend on the true mask.

    It is its own data source, to know the mask of the photo to predict.
    """

    def __init__(self, function, source):
        self.function, self.source = function, source
        self.num_classes, self.classes = source.num_classes, source.classes
        self.mask = None

    def __len__(self):
        """Return the number of records."""
        return len(self.source)

    def __getitem__(self, index):
        """Return a record, and remember its mask for `predict`."""
        record = self.source[index]
        self.mask = record["mask"]
        return record

    def predict(self, photo, **kwargs):
        """Return the mask of a photo."""
        del kwargs
        return self.function(photo, self.mask)


def reconstruct(segmenter, photo, mask):
    """Return the reconstruction of the true mask."""
    del photo
    logits = segmenter.posterior(mask[None])
    return ops.convert_to_numpy(argmax(logits))[0]


def predict(segmenter, photo, mask):
    """Return the segmenter's prediction, with the most likely tokens."""
    del mask
    return segmenter.predict(photo)


def pixel_probabilities(segmenter, photo):
    """Return the class probabilities of the pixel branch."""
    logits = segmenter.prior(photo[None], training=False)["pixel_logits"]
    logits = resize_bilinear(logits, *photo.shape[:2])
    return ops.convert_to_numpy(ops.softmax(logits))[0]


def classify(segmenter, photo, mask):
    """Return the most likely classes of the pixel branch."""
    del mask
    return pixel_probabilities(segmenter, photo).argmax(-1)


def vote(segmenter, votes, with_pixels, photo, mask):
    """Return the majority vote of sampled masks, and of the pixel branch.

    With `with_pixels`, the pixel branch's class probabilities are added to
    the fractions of votes.
    """
    del mask
    samples = segmenter.sample(photo, n=votes, seed=0)
    scores = np.eye(segmenter.num_classes)[samples].mean(0)
    if with_pixels:
        scores += pixel_probabilities(segmenter, photo)
    return scores.argmax(-1)


def main(settings):
    """Print mIoU, boundary F-score and class IoUs for each kind of mask."""
    source = data.CamVid(settings.camvid, "val")
    if settings.fit:
        source = data.Resized(source, settings.fit)
    segmenter = GenerativeSegmenter.from_preset(settings.preset)
    sample = functools.partial(vote, segmenter, settings.votes)
    functions = {
        "reconstruction": functools.partial(reconstruct, segmenter),
        "tokens": functools.partial(predict, segmenter),
        "pixel branch": functools.partial(classify, segmenter),
        f"{settings.votes} samples": functools.partial(sample, False),
        "samples and pixel branch": functools.partial(sample, True),
    }
    names = " | ".join(source.classes)
    print(f"| masks from | mIoU | boundary F | {names} |")
    print("|---|---|---|" + "---|" * source.num_classes)
    for name, function in functions.items():
        wrapper = MaskAwareSegmenter(function, source)
        scores = evaluation.evaluate(
            wrapper, wrapper, limit=settings.limit, with_boundaries=True
        )
        cells = " | ".join(f"{iou:.1f}" for iou in scores["class_iou"])
        print(
            f"| {name} | {scores['mIoU']:.2f} | {scores['boundary_F']:.2f} | "
            f"{cells} |",
            flush=True,
        )


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
