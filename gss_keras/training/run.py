"""One training, from photos to an evaluated preset, stage by stage."""

import dataclasses
import json
import pathlib

import keras
import numpy as np

from gss_keras import data, distribution, evaluation, visualize
from gss_keras.inference.views import Views
from gss_keras.maskige import WindowInverse, palettes
from gss_keras.models.posterior import LatentPosterior
from gss_keras.models.prior import LatentPrior
from gss_keras.models.segmenter import GenerativeSegmenter
from gss_keras.saving.precision import precision
from gss_keras.synthetic import miniature
from gss_keras.tokenizer import DiscreteVAE
from gss_keras.training.architectures import build_backbone
from gss_keras.training.trainer import (
    adapt_to_masks,
    compile_stage,
    train_stage,
    training_batches,
)

# Settings that may differ when a training goes on.
_FREE = ("data_dir", "output", "stages", "machine", "skip_bad_files")
_PANEL_PHOTOS = 3


class Run:
    """Trains the stages of one set of settings, each once.

    Each stage has a folder of its own in `settings.output`, with checkpoints,
    `curve.csv`, pictures of validation photos and, when it is done, `preset`.
    A stage that is done is loaded, one that was interrupted goes on.

    Args:
        settings: A `gss_keras.training.Settings`.
        dataset: Name of a data set of `gss_keras.data.catalog`.

    Raises:
        ValueError: If the output folder holds a run with other settings, or
            `data_dir` is missing.
        OSError: If the output folder cannot be written.
    """

    def __init__(self, settings, dataset):
        if settings.debug:
            settings = settings.shrunk()
        if settings.machine.all_devices:
            distribution.data_parallel()
        self.settings = settings
        self.dataset = dataset
        self.output = pathlib.Path(settings.output)
        self.output.mkdir(parents=True, exist_ok=True)
        if distribution.is_chief():
            self._remember_settings()
        keras.utils.set_random_seed(settings.seed)
        self.data_dir = settings.data_dir
        if self.data_dir is None and settings.debug:
            self.data_dir = miniature.write(dataset, self.output / "miniature")
        if self.data_dir is None:
            raise ValueError(
                "`data_dir` must be the folder of the data set:\n"
                f"{data.catalog.card(dataset).layout}\nReceived: none. "
                "`--debug` writes a miniature of its own."
            )

    def open(self, split):
        """Return the source of a split of the data set."""
        source = data.load(self.dataset, self.data_dir, split)
        if self.settings.skip_bad_files:
            report = self.output / f"bad_files_{split}.txt"
            source = data.SkipBadFiles(source, report, split != "train")
        return source

    def posterior(self, train):
        """Stage I: choose the colors; FT learns to read them.

        Args:
            train: Source of photos and masks.

        Returns:
            A `LatentPosterior`.
        """
        done = self.output / "posterior" / "preset"
        if done.is_dir():
            return LatentPosterior.from_preset(done)
        self._check_asked("posterior")
        posterior = LatentPosterior(
            _palette(self.settings.palette, train.num_classes),
            DiscreteVAE.from_preset(self.settings.tokenizer),
            "conv" if self.settings.variant == "ft" else "nearest_color",
            classes=train.classes,
        )
        if self.settings.variant == "ft":
            self._train("posterior", posterior, train, masks_only=True)
        _save(posterior, done)
        return posterior

    def prior(self, posterior, train, val=None):
        """Stage II: learn to predict tokens from photos.

        Args:
            posterior: What `posterior` returned.
            train: Source of photos and masks.
            val: Source to validate on, or None.

        Returns:
            A trained `LatentPrior`.
        """
        done = self.output / "prior" / "preset"
        if done.is_dir():
            return LatentPrior.from_preset(done)
        self._check_asked("prior")
        # The frozen tokenizer, built before, keeps its own.
        with precision(self.settings.machine.precision):
            prior = LatentPrior(
                self._backbone(),
                posterior,
                **dataclasses.asdict(self.settings.head),
            )
        adapt_to_masks(prior, train)
        self._train("prior", prior, train, self._segmenter(prior), val)
        _save(prior, done)
        return prior

    def inverse(self, prior, train, val=None):
        """Learn to undo the prior's mistakes, for FT-W.

        Args:
            prior: What `prior` returned.
            train: Source of photos and masks.
            val: Source to validate on, or None.

        Returns:
            A `GenerativeSegmenter`, finished.
        """
        segmenter = self._segmenter(prior)
        if self.settings.variant != "ft-w":
            return segmenter
        done = self.output / "inverse" / "preset"
        if done.is_dir():
            return GenerativeSegmenter.from_preset(done)
        self._check_asked("inverse")
        inverse = WindowInverse(
            prior.posterior.num_classes,
            palette=prior.posterior.palette,
            depth=self.settings.inverse_depth,
        )
        segmenter = self._segmenter(prior, inverse)
        self._train("inverse", segmenter, train, segmenter, val)
        _save(segmenter, done)
        return segmenter

    def evaluate(self, segmenter, val):
        """Save the finished segmenter and score it on whole photos.

        Args:
            segmenter: What `inverse` returned.
            val: Source of photos and masks.

        Returns:
            What `evaluation.evaluate` does, and writes into the output
            folder. Empty but for the process that writes files.
        """
        if not distribution.is_chief():
            return {}
        segmenter.save_to_preset(self.output / "preset")
        self._check_asked("evaluation")
        scores = evaluation.evaluate(segmenter, val, self._views())
        evaluation.write(scores, self.output)
        picture = visualize.segmentation_panel(segmenter, *_few(val))
        visualize.save(picture, self.output / "segmentation.png")
        print(evaluation.table(scores))  # noqa: T201
        return scores

    def _train(self, stage, model, train, segmenter=None, val=None, **kwargs):
        """Train one stage, and picture each validation."""
        schedule = getattr(self.settings, stage)
        folder = self.output / stage
        compile_stage(model, schedule)
        batches = training_batches(
            train,
            schedule,
            self.settings.crop,
            self.settings.seed,
            self.settings.machine.workers,
            **kwargs,
        )

        def validate(step):
            photos = self.settings.watch.photos
            scores = evaluation.evaluate(
                segmenter, val, self._views(), limit=photos
            )
            picture = visualize.segmentation_panel(segmenter, *_few(val))
            visualize.save(picture, folder / "pictures" / f"{step:09}.png")
            return {f"val_{name}": scores[name] for name in ("mIoU", "mAcc")}

        train_stage(
            model,
            batches,
            schedule,
            self.settings.watch,
            folder,
            validate if val is not None else None,
        )
        if distribution.is_chief():
            curves = visualize.training_curves(folder)
            visualize.save(curves, folder / "curve.png")

    def _segmenter(self, prior, inverse=None):
        window, stride = self.settings.window, self.settings.stride
        return GenerativeSegmenter(prior, window, stride, inverse)

    def _views(self):
        # A miniature in the published size would no longer be small.
        if self.settings.debug:
            return Views()
        return evaluation.published_views(self.dataset)

    def _backbone(self):
        settings = self.settings
        backbone = build_backbone(
            settings.backbone, settings.backbone_weights, settings.debug
        )
        if settings.freeze_up_to is not None:
            backbone.freeze_up_to(settings.freeze_up_to)
        return backbone

    def _check_asked(self, stage):
        if stage not in self.settings.stages:
            raise ValueError(
                f"The stage {stage!r} is not done in {self.output}, and "
                f"`stages` leaves it out. Run it first. Received: "
                f"stages={self.settings.stages}"
            )

    def _remember_settings(self):
        path = self.output / "settings.json"
        now = dataclasses.asdict(self.settings)
        now = {name: now[name] for name in now if name not in _FREE}
        text = json.dumps(now, indent=1, default=str)
        if not path.exists():
            path.write_text(text)
        then = json.loads(path.read_text())
        now = json.loads(text)
        changed = [name for name in now if now[name] != then.get(name)]
        if changed:
            raise ValueError(
                f"{self.output} holds a run with other settings: "
                f"{', '.join(changed)} differ from {path}. Choose another "
                "`output`, or the settings it was begun with."
            )


def _save(model, folder):
    if distribution.is_chief():
        model.save_to_preset(folder)


def _palette(name, num_classes):
    if name == "maximal_distance":
        return palettes.maximal_distance(num_classes)
    return palettes.load(name) if pathlib.Path(name).is_file() else name


def _few(source):
    """Return a few photos and masks, cut to one size, spread over a source."""
    count = min(_PANEL_PHOTOS, len(source))
    records = [
        source[int(i)] for i in np.linspace(0, len(source) - 1, count)
    ]  # fmt: skip
    height, width = np.min([r["mask"].shape for r in records], axis=0)
    return tuple(
        np.stack([record[part][:height, :width] for record in records])
        for part in ("photo", "mask")
    )
