r"""Evaluate a preset on a data set as its benchmark does.

    KERAS_BACKEND=jax python recipes/evaluate.py --expect 77.76 \
        --preset gss_ff_resnet101_cityscapes \
        --dataset cityscapes --data-dir cityscapes

says whether the published score came out: if not, the exit status is 1.
Photos are segmented whole or in windows as the preset was made, those of
ADE20K and MSeg brought to 2048 x 512 first. `--dataset mseg` evaluates the six
test sets and takes the harmonic mean. Your own photos and their masks of class
ids, `a.jpg` and `a.png`, are given with `--photos` and `--masks`.
"""

import dataclasses
import pathlib
import sys
from typing import Literal

import gss_keras
from gss_keras import data, evaluation
from gss_keras.data.submission import Submission
from gss_keras.training import run_recipe


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to evaluate, and on what."""

    preset: str
    """Folder or name of a preset."""
    dataset: str = "folders"
    """Name in the catalog; "mseg" for all of its test sets."""
    data_dir: pathlib.Path | None = None
    split: str = "val"
    photos: pathlib.Path | None = None
    masks: pathlib.Path | None = None
    window: tuple[int, int] | Literal["whole"] | None = None
    """Height and width of windows; by default as the preset was made."""
    stride: tuple[int, int] | None = None
    fit: tuple[int, int] | Literal["none"] | None = None
    """Longest and shortest side that photos are scaled to fit in, keeping
    their ratio; by default as for the published scores."""
    scales: tuple[float, ...] = (1.0,)
    """Sizes, relative to that, to average class probabilities over."""
    flip: bool = False
    """Average over mirrored photos too."""
    map_probabilities: bool = False
    """MSeg: add up probabilities of universal classes, instead of mapping the
    likeliest one as the published scores do."""
    limit: int | None = None
    """Evaluate only so many photos, evenly spread."""
    skip_bad_files: bool = False
    """Go on without files that cannot be read, and list them."""
    output: pathlib.Path = pathlib.Path("outputs/evaluation")
    """Folder for scores.json, tables of the classes and pictures of them."""
    save_predictions: pathlib.Path | None = None
    """Folder for the predicted masks, as the benchmark's server takes them."""
    expect: float | None = None
    """The mIoU that should come out, in percent."""
    tolerance: float = 0.1
    """How far from it is close enough."""


def evaluate(settings, segmenter, name, source):
    """Evaluate on one source; write its scores and the predictions."""
    output = settings.output / name
    views = evaluation.published_views(name, settings.scales, settings.flip)
    if settings.fit is not None:
        fit = None if settings.fit == "none" else settings.fit
        views = dataclasses.replace(views, fit=fit)
    maps = evaluation.maps_for(
        name, segmenter.posterior.num_classes, settings.map_probabilities
    )
    submission = None
    if settings.save_predictions is not None:
        folder = settings.save_predictions / name
        submission = Submission(folder, name, source.num_classes)
    if settings.skip_bad_files:
        source = data.SkipBadFiles(source, output / "bad_files.txt", True)

    def save(record, mask):
        if submission is not None:
            submission.write(record["name"], mask)

    scores = evaluation.evaluate(
        segmenter, source, views, settings.window, settings.stride,
        settings.limit, save, verbose=1, **maps,
    )  # fmt: skip
    evaluation.write(scores, output)
    print(f"\n{name}, {scores['photos']} photos\n{evaluation.table(scores)}")
    return scores["mIoU"]


def main(settings):
    """Print the scores, class by class, and whether they are as expected."""
    segmenter = gss_keras.GenerativeSegmenter.from_preset(settings.preset)
    if settings.photos and settings.masks:
        classes = [f"class {i}" for i in range(segmenter.posterior.num_classes)]
        folders = data.Folders(settings.photos, settings.masks, classes)
        sources = {"folders": folders}
    elif settings.data_dir:
        sources = evaluation.open_sources(
            settings.dataset, settings.data_dir, settings.split
        )
    else:
        raise ValueError("Give `--data-dir`, or `--photos` and `--masks`.")
    found = {
        name: evaluate(settings, segmenter, name, source)
        for name, source in sources.items()
    }
    mean = gss_keras.metrics.harmonic_mean(list(found.values()))
    if len(found) > 1:
        found["harmonic mean"] = mean
    print(", ".join(f"{name} mIoU {iou:.2f}" for name, iou in found.items()))
    if settings.expect is not None:
        came_out = abs(mean - settings.expect) <= settings.tolerance
        answer = "came out" if came_out else "did not come out"
        print(f"{settings.expect:.2f} {answer}: {mean:.2f}")
        sys.exit(not came_out)


if __name__ == "__main__":
    run_recipe(main, Settings, __doc__)
