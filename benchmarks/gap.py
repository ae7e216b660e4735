"""What holds a generative segmenter back: ceiling, tokens, outlines, classes.

One row each for how masks come about: true masks sent through the tokens and
back (the ceiling), the prior's tokens, the prior's pixel branch alone, and
votes of several masks drawn from the prior together with the pixel branch.

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
    """What to measure."""

    camvid: pathlib.Path
    """CamVid in the layout of the SegNet tutorial."""
    preset: str = "camvid"
    """Folder or name of a generative segmenter."""
    fit: tuple[int, int] | None = None
    """Longest and shortest side that photos are brought to first."""
    votes: int = 8
    limit: int | None = None
    """Take only so many photos, evenly spread."""


class Answering:
    """A segmenter that answers with a function of a photo and its mask."""

    def __init__(self, answer, source):
        self.answer, self.source = answer, source
        self.num_classes, self.classes = source.num_classes, source.classes
        self.mask = None

    def __len__(self):
        """Return the number of records."""
        return len(self.source)

    def __getitem__(self, index):
        """Read a record, and keep its mask for the answer that follows."""
        record = self.source[index]
        self.mask = record["mask"]
        return record

    def predict(self, photo, **kwargs):
        """Answer one photo."""
        del kwargs
        return self.answer(photo, self.mask)


def reconstruct(segmenter, photo, mask):
    """Send the true mask through the tokens and back."""
    del photo
    logits = segmenter.posterior(mask[None])
    return ops.convert_to_numpy(argmax(logits))[0]


def predict(segmenter, photo, mask):
    """Take the likeliest tokens, as ever."""
    del mask
    return segmenter.predict(photo)


def pixel_probabilities(segmenter, photo):
    """Return what the pixel branch holds likely."""
    logits = segmenter.prior(photo[None], training=False)["pixel_logits"]
    logits = resize_bilinear(logits, *photo.shape[:2])
    return ops.convert_to_numpy(ops.softmax(logits))[0]


def classify(segmenter, photo, mask):
    """Take the pixel branch's likeliest class."""
    del mask
    return pixel_probabilities(segmenter, photo).argmax(-1)


def vote(segmenter, votes, with_pixels, photo, mask):
    """Take the class that most drawn masks have, and the pixel branch."""
    del mask
    drawn = segmenter.sample(photo, n=votes, seed=0)
    shares = np.eye(segmenter.num_classes)[drawn].mean(0)
    if with_pixels:
        shares += pixel_probabilities(segmenter, photo)
    return shares.argmax(-1)


def main(settings):
    """Print one row for each way to a mask, and the IoUs of its classes."""
    source = data.CamVid(settings.camvid, "val")
    if settings.fit:
        source = data.Resized(source, settings.fit)
    segmenter = GenerativeSegmenter.from_preset(settings.preset)
    draw = functools.partial(vote, segmenter, settings.votes)
    ways = {
        "ceiling": functools.partial(reconstruct, segmenter),
        "tokens": functools.partial(predict, segmenter),
        "pixel branch": functools.partial(classify, segmenter),
        f"{settings.votes} drawn masks": functools.partial(draw, False),
        "drawn masks and pixel branch": functools.partial(draw, True),
    }
    names = " | ".join(source.classes)
    print(f"| masks from | mIoU | boundary F | {names} |")
    print("|---|---|---|" + "---|" * source.num_classes)
    for name, answer in ways.items():
        both = Answering(answer, source)
        scores = evaluation.evaluate(
            both, both, limit=settings.limit, with_boundaries=True
        )
        cells = " | ".join(f"{iou:.1f}" for iou in scores["class_iou"])
        print(
            f"| {name} | {scores['mIoU']:.2f} | {scores['boundary_F']:.2f} | "
            f"{cells} |",
            flush=True,
        )


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
