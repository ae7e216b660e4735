"""`gss-keras evaluate`: evaluate a preset as its benchmark does."""

import dataclasses
import pathlib
from typing import Literal

from gss_keras import data, evaluation
from gss_keras.cli.command import (
    FAILED,
    OK,
    SOME_SKIPPED,
    Command,
    echo,
    load_segmenter,
)
from gss_keras.data.submission import Submission
from gss_keras.models.metrics import harmonic_mean


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate(Command):
    """Evaluate a preset on a data set: mIoU, and scores of each class.

    The exit status is also 1 if the mIoU differs from `--expect`, and 2 if
    `--skip-bad-files` skipped files.
    """

    preset: str = "camvid"
    """Folder or name of a preset."""
    dataset: str = "folders"
    """Name of a data set in the catalog; "mseg" for all MSeg test sets."""
    data_dir: pathlib.Path | None = None
    """Folder of the data set."""
    split: str = "val"
    photos: pathlib.Path | None = None
    """Folder of your own photos."""
    masks: pathlib.Path | None = None
    """Folder of their masks, images of class ids: `a.png` for `a.jpg`."""
    window: tuple[int, int] | Literal["whole"] | None = None
    """Height and width of sliding windows; by default those of the preset."""
    stride: tuple[int, int] | None = None
    """Vertical and horizontal stride of the windows."""
    fit: tuple[int, int] | Literal["none"] | None = None
    """Long and short side that photos are resized to fit, keeping the aspect
    ratio; "none" for the original size. By default as for the published
    scores."""
    scales: tuple[float, ...] = (1.0,)
    """Resize factors, relative to `fit`, for multi-scale testing: class
    probabilities are averaged over them."""
    flip: bool = False
    """Average over horizontally flipped photos, too."""
    map_probabilities: bool = False
    """MSeg: sum the probabilities of the universal classes that map to a
    class, instead of mapping the argmax as the published scores do."""
    limit: int | None = None
    """Maximum number of photos to evaluate, evenly spaced in the data set."""
    skip_bad_files: bool = False
    """Skip unreadable files, and list them."""
    output: pathlib.Path = pathlib.Path("outputs/evaluation")
    """Folder for scores.json, tables of class scores and plots."""
    save_predictions: pathlib.Path | None = None
    """Folder for the predicted masks, in the benchmark server's format."""
    expect: float | None = None
    """Expected mIoU, in percent."""
    tolerance: float = 0.1
    """Largest difference from the expected mIoU, in percentage points."""

    def run(self):
        """Evaluate the preset; write and print the scores."""
        segmenter = load_segmenter(self.preset)
        sources = self._sources(segmenter)
        scores = {
            name: self._evaluate(segmenter, name, source)
            for name, source in sources.items()
        }
        mious = {name: result["mIoU"] for name, result in scores.items()}
        mean = harmonic_mean(list(mious.values()))
        if len(mious) > 1:
            mious["harmonic mean"] = mean
        echo(", ".join(f"{name} mIoU {iou:.2f}" for name, iou in mious.items()))
        skipped = self._skipped(sources)
        report = {"mIoU": mious, "scores": scores, "skipped": skipped}
        status = SOME_SKIPPED if skipped else OK
        if self.expect is not None:
            is_reproduced = abs(mean - self.expect) <= self.tolerance
            verdict = "reproduced" if is_reproduced else "not reproduced"
            echo(f"expected mIoU {self.expect:.2f} {verdict}: {mean:.2f}")
            report["came_out"] = is_reproduced
            status = status if is_reproduced else FAILED
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
        raise ValueError(
            "A data set must be given with `--data-dir`, or with `--photos` "
            "and `--masks`. Received: neither"
        )

    def _evaluate(self, segmenter, name, source):
        """Evaluate one source; write its scores and predictions."""
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
            # Discard the list of an earlier evaluation.
            self._bad_files(name).unlink(missing_ok=True)
            source = data.SkipBadFiles(source, self._bad_files(name), True)

        def save(record, mask):
            if submission is not None:
                submission.write(record["name"], mask)

        scores = evaluation.evaluate(
            segmenter, source, views, self.window, self.stride,
            self.limit, save, verbose=1, **maps,
        )  # fmt: skip
        evaluation.write(scores, output)
        echo(f"\n{name}, {scores['photos']} photos", evaluation.table(scores))
        return evaluation.as_json(scores)

    def _bad_files(self, name):
        return self.output / name / "bad_files.txt"

    def _skipped(self, sources):
        if not self.skip_bad_files:
            return []
        skipped = [
            {"file": file, "reason": reason}
            for name in sources
            for file, reason in data.read_report(self._bad_files(name))
        ]
        if skipped:
            echo(f"{len(skipped)} skipped: {skipped[0]['file']} ...")
        return skipped
