"""`gss-keras evaluate`: score a preset as its benchmark does."""

import dataclasses
import pathlib
from typing import Literal

from gss_keras import data, evaluation
from gss_keras.cli.command import (
    FAILED,
    OK,
    SOME_SKIPPED,
    Command,
    load_segmenter,
    say,
)
from gss_keras.data.submission import Submission
from gss_keras.models.metrics import harmonic_mean


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate(Command):
    """Score a preset on a data set, class by class.

    Exit status 1 also if `--expect` did not come out, 2 if files were left
    out with `--skip-bad-files`.
    """

    preset: str = "camvid"
    """Folder or name of a preset."""
    dataset: str = "folders"
    """Name in the catalog; "mseg" for all of its test sets."""
    data_dir: pathlib.Path | None = None
    split: str = "val"
    photos: pathlib.Path | None = None
    """Folder of your own photos."""
    masks: pathlib.Path | None = None
    """Folder of their masks of class ids: `a.png` for `a.jpg`."""
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

    def run(self):
        """Evaluate, write the scores and say them."""
        segmenter = load_segmenter(self.preset)
        sources = self._sources(segmenter)
        scores = {
            name: self._evaluate(segmenter, name, source)
            for name, source in sources.items()
        }
        found = {name: one["mIoU"] for name, one in scores.items()}
        mean = harmonic_mean(list(found.values()))
        if len(found) > 1:
            found["harmonic mean"] = mean
        say(", ".join(f"{name} mIoU {iou:.2f}" for name, iou in found.items()))
        skipped = self._skipped(sources)
        report = {"mIoU": found, "scores": scores, "skipped": skipped}
        status = SOME_SKIPPED if skipped else OK
        if self.expect is not None:
            came_out = abs(mean - self.expect) <= self.tolerance
            answer = "came out" if came_out else "did not come out"
            say(f"{self.expect:.2f} {answer}: {mean:.2f}")
            report["came_out"] = came_out
            status = status if came_out else FAILED
        return status, report

    def _sources(self, segmenter):
        if self.photos and self.masks:
            classes = segmenter.classes or [
                f"class {number}" for number in range(segmenter.num_classes)
            ]
            folders = data.Folders(self.photos, self.masks, classes)
            return {"folders": folders}
        if self.data_dir:
            return evaluation.open_sources(
                self.dataset, self.data_dir, self.split
            )
        raise ValueError("Give `--data-dir`, or `--photos` and `--masks`.")

    def _evaluate(self, segmenter, name, source):
        """Evaluate on one source; write its scores and the predictions."""
        output = self.output / name
        views = evaluation.published_views(name, self.scales, self.flip)
        if self.fit is not None:
            fit = None if self.fit == "none" else self.fit
            views = dataclasses.replace(views, fit=fit)
        maps = evaluation.maps_for(
            name, segmenter.num_classes, self.map_probabilities
        )
        submission = None
        if self.save_predictions is not None:
            folder = self.save_predictions / name
            submission = Submission(folder, name, source.num_classes)
        if self.skip_bad_files:
            # What an earlier evaluation left out is no news of this one.
            self._report(name).unlink(missing_ok=True)
            source = data.SkipBadFiles(source, self._report(name), True)

        def save(record, mask):
            if submission is not None:
                submission.write(record["name"], mask)

        scores = evaluation.evaluate(
            segmenter, source, views, self.window, self.stride,
            self.limit, save, verbose=1, **maps,
        )  # fmt: skip
        evaluation.write(scores, output)
        say(f"\n{name}, {scores['photos']} photos", evaluation.table(scores))
        return evaluation.as_json(scores)

    def _report(self, name):
        return self.output / name / "bad_files.txt"

    def _skipped(self, sources):
        if not self.skip_bad_files:
            return []
        skipped = [
            {"file": file, "reason": reason}
            for name in sources
            for file, reason in data.read_report(self._report(name))
        ]
        if skipped:
            say(f"{len(skipped)} left out: {skipped[0]['file']} ...")
        return skipped
