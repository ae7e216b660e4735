"""A training run of all stages, from photos to an evaluated preset."""

import dataclasses
import json
import pathlib

import keras
import numpy as np

from gss_keras import data, distribution, evaluation, visualize
from gss_keras.inference.views import Views
from gss_keras.maskige import inverse_from, palettes
from gss_keras.models import variants
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

# Settings that may differ when a run is resumed.
_CHANGEABLE = ("data_dir", "output", "stages", "machine", "skip_bad_files")
_PANEL_PHOTOS = 3


class Run:
    """Train the stages of one set of settings, and resume them.

    Each stage has its own folder in `settings.output`, with checkpoints,
    `curve.csv`, pictures of validation photos and, when it is finished,
    `preset`. A finished stage is loaded; an interrupted one is resumed.

    Args:
        settings: A `gss_keras.training.Settings`.
        dataset: Name of a data set of `gss_keras.data.catalog`.

    Raises:
        ValueError: If the output folder contains a run with other settings,
            or `data_dir` is None without `debug`.
        OSError: If the output folder cannot be written.
    """

    def __init__(self, settings, dataset):
        if settings.debug:
            settings = settings.shrunk()
        if settings.machine.all_devices:
            distribution.data_parallel()
        self.settings = settings
        self.variant = variants.find(settings.variant)
        self.dataset = dataset
        self.output = pathlib.Path(settings.output)
        self.output.mkdir(parents=True, exist_ok=True)
        if distribution.is_chief():
            self._check_and_save_settings()
        keras.utils.set_random_seed(settings.seed)
        self.data_dir = settings.data_dir
        if self.data_dir is None and settings.debug:
            self.data_dir = miniature.write(dataset, self.output / "miniature")
        if self.data_dir is None:
            raise ValueError(
                "`data_dir` must be the folder of the data set:\n"
                f"{data.catalog.card(dataset).layout}\nReceived: none. "
                "`--debug` needs none: it generates a miniature data set."
            )

    def open(self, split):
        """Return the source of a split of the data set."""
        source = data.load(self.dataset, self.data_dir, split)
        if self.settings.skip_bad_files:
            report = self.output / f"bad_files_{split}.txt"
            source = data.SkipBadFiles(source, report, split != "train")
        return source

    def posterior(self, train):
        """Stage I: build the posterior and, for FT, train its X^-1.

        Args:
            train: Source of photos and masks.

        Returns:
            A `LatentPosterior`.
        """
        done = self.output / "posterior" / "preset"
        if done.is_dir():
            return LatentPosterior.from_preset(done)
        self._check_requested("posterior")
        posterior = LatentPosterior(
            _palette(self.settings.palette, self.variant, train.num_classes),
            DiscreteVAE.from_preset(self.settings.tokenizer),
            self.variant.first_inverse,
            is_palette_learned=self.variant.is_palette_learned,
            classes=train.classes,
        )
        if self.variant.trained_on == "reconstructions":
            self._train("posterior", posterior, train, masks_only=True)
        _save(posterior, done)
        return posterior

    def prior(self, posterior, train, val=None):
        """Stage II: train the prior to predict tokens from photos.

        Args:
            posterior: The result of `posterior`.
            train: Source of photos and masks.
            val: Source for validation, or None.

        Returns:
            A trained `LatentPrior`.
        """
        done = self.output / "prior" / "preset"
        if done.is_dir():
            return LatentPrior.from_preset(done)
        self._check_requested("prior")
        # The frozen tokenizer, already built, keeps its precision.
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
        """Train X^-1 on the prior's predictions, for FT-W.

        Args:
            prior: The result of `prior`.
            train: Source of photos and masks.
            val: Source for validation, or None.

        Returns:
            The trained `GenerativeSegmenter`.
        """
        segmenter = self._segmenter(prior)
        if self.variant.trained_on != "predictions":
            return segmenter
        done = self.output / "inverse" / "preset"
        if done.is_dir():
            return GenerativeSegmenter.from_preset(done)
        self._check_requested("inverse")
        inverse = inverse_from(
            self.variant.inverse,
            prior.posterior.palette,
            depth=self.settings.inverse_depth,
        )
        segmenter = self._segmenter(prior, inverse)
        self._train("inverse", segmenter, train, segmenter, val)
        _save(segmenter, done)
        return segmenter

    def evaluate(self, segmenter, val):
        """Save the trained segmenter and evaluate it.

        Args:
            segmenter: The result of `inverse`.
            val: Source of photos and masks.

        Returns:
            The dict of scores of `evaluation.evaluate`, also written to the
            output folder; empty in all processes but the chief.
        """
        if not distribution.is_chief():
            return {}
        segmenter.save_to_preset(self.output / "preset")
        self._check_requested("evaluation")
        scores = evaluation.evaluate(segmenter, val, self._views())
        evaluation.write(scores, self.output)
        picture = visualize.segmentation_panel(segmenter, *_examples(val))
        visualize.save(picture, self.output / "segmentation.png")
        print(evaluation.table(scores))  # noqa: T201
        return scores

    def _train(self, stage, model, train, segmenter=None, val=None, **kwargs):
        """Train one stage, and save a picture at each validation."""
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
            picture = visualize.segmentation_panel(segmenter, *_examples(val))
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
        # At the published size, a miniature would no longer be small.
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

    def _check_requested(self, stage):
        if stage not in self.settings.stages:
            raise ValueError(
                f"The stage {stage!r} has not been run in {self.output} and "
                "is missing from `stages`. Run it first. Received: "
                f"stages={self.settings.stages}"
            )

    def _check_and_save_settings(self):
        path = self.output / "settings.json"
        settings = dataclasses.asdict(self.settings)
        for name in _CHANGEABLE:
            settings.pop(name)
        text = json.dumps(settings, indent=1, default=str)
        if not path.exists():
            path.write_text(text)
        saved = json.loads(path.read_text())
        changed = [
            name
            for name, value in json.loads(text).items()
            if value != saved.get(name)
        ]
        if changed:
            raise ValueError(
                f"{self.output} contains a run with other settings: "
                f"{', '.join(changed)} differ from {path}. Choose another "
                "`output`, or resume with the original settings."
            )


def _save(model, folder):
    if distribution.is_chief():
        model.save_to_preset(folder)


def _palette(name, variant, num_classes):
    if name == "maximal_distance":
        return variant.make_palette(num_classes)
    return palettes.load(name) if pathlib.Path(name).is_file() else name


def _examples(source):
    """Return a few evenly spaced photos and masks, cropped to one size."""
    count = min(_PANEL_PHOTOS, len(source))
    records = [
        source[int(i)] for i in np.linspace(0, len(source) - 1, count)
    ]  # fmt: skip
    height, width = np.min([r["mask"].shape for r in records], axis=0)
    return tuple(
        np.stack([record[part][:height, :width] for record in records])
        for part in ("photo", "mask")
    )
