r"""Compare generative and discriminative segmentation on equal terms.

All methods share the backbone, photos, crops, schedule and number of steps, on
CamVid at half resolution. Only the head differs, and the learning rate, which
is tuned for each method in short trainings. A training takes 10 to 15 minutes
on two CPU cores.

    KERAS_BACKEND=tensorflow python recipes/compare_discriminative.py \
        --data-dir CamVid --seeds 3 --methods fcn gss-ff gss-ft-w

Run the same command again to resume after an interruption, or to add methods:
finished trainings are kept. `--debug` needs no data.
"""

import dataclasses
import json
import pathlib

import keras

import gss_keras
from gss_keras import data, evaluation, training
from gss_keras.maskige import WindowInverse
from gss_keras.synthetic import miniature

_SPLITS = "train", "val"
METHODS = ("fcn", "segformer", "deeplab_v3_plus", "gss-ff", "gss-ft-w")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Methods, hyperparameters and training length."""

    data_dir: pathlib.Path | None = None
    output: pathlib.Path = pathlib.Path("outputs/comparison")
    methods: tuple[str, ...] = METHODS
    seeds: int = 1
    """Number of trainings of each method, with different random seeds."""
    rates: tuple[float, ...] = (1e-3, 2e-3, 4e-3)
    """Learning rates to choose from, in trainings of `search_steps`."""
    search_steps: int = 160
    steps: int = 640
    batch_size: int = 8
    fit: tuple[int, int] | None = (240, 180)
    """Long and short side that photos are resized to fit."""
    crop: tuple[int, int] = (144, 192)
    backbone: str = "efficientnet_lite0"
    head: training.Head = training.Head(64, 128, 2, None, 256, "guiding", 0.9)
    posterior: str | None = None
    """Preset of the posterior of GSS, such as `distill_encoder.py` writes."""
    inverse: training.Schedule = training.Schedule(100, 2e-3, 8, 10)
    """Schedule of FT-W's X^-1 on the predictions of the trained FF."""
    debug: bool = False


def build(settings, method, num_classes):
    """Return the model to train and the segmenter that contains it."""
    backbone = training.build_backbone(settings.backbone, None, settings.debug)
    backbone.freeze_up_to(4)
    if method != "gss-ff":
        model = gss_keras.DiscriminativeSegmenter(backbone, num_classes, method)
        return model, model
    if settings.posterior:
        posterior = gss_keras.LatentPosterior.from_preset(settings.posterior)
    else:
        posterior = gss_keras.LatentPosterior(
            gss_keras.palettes.maximal_distance(num_classes),
            gss_keras.DiscreteVAE.from_preset("maskige"),
        )
    prior = gss_keras.LatentPrior(
        backbone, posterior, **dataclasses.asdict(settings.head)
    )
    return prior, gss_keras.GenerativeSegmenter(prior)


def fit(settings, model, schedule, train, seed, folder):
    """Train a model, or resume its training."""
    keras.utils.set_random_seed(seed)
    crop = training.Crop(settings.crop, scale_range=(0.6, 1.6), balance=0.5)
    batches = training.training_batches(train, schedule, crop, seed)
    watch = training.Watch(*[max(1, schedule.steps // 4)] * 2)
    training.adapt_to_masks(model, train)
    training.compile_stage(model, schedule)
    training.train_stage(model, batches, schedule, watch, folder)


def run(settings, sources, method, rate, steps, seed=0):
    """Train one method, unless it is finished, and return its scores."""
    folder_name = "{}_{:g}_{}_{}".format
    folder = settings.output / folder_name(method, rate, steps, seed)
    if (folder / "scores.json").exists():
        return json.loads((folder / "scores.json").read_text())
    train, val = sources
    keras.utils.set_random_seed(seed)
    if method == "gss-ft-w":
        run(settings, sources, "gss-ff", rate, steps, seed)
        ff_folder = settings.output / folder_name("gss-ff", rate, steps, seed)
        ff = gss_keras.GenerativeSegmenter.from_preset(ff_folder / "preset")
        palette = ff.posterior.palette
        inverse = WindowInverse(val.num_classes, palette=palette)
        model = gss_keras.GenerativeSegmenter(ff.prior, inverse=inverse)
        segmenter, schedule = model, settings.inverse
    else:
        model, segmenter = build(settings, method, val.num_classes)
        warmup = max(1, steps // 20)
        schedule = training.Schedule(steps, rate, settings.batch_size, warmup)
    fit(settings, model, schedule, train, seed, folder)
    scores = evaluation.evaluate(segmenter, val, with_boundaries=True)
    segmenter.save_to_preset(folder / "preset")
    scores = evaluation.as_json(scores)
    (folder / "scores.json").write_text(json.dumps(scores))
    return scores


def main(settings):
    """Tune each method's learning rate, train it, print the table."""
    if settings.debug:
        settings = dataclasses.replace(
            settings, rates=(1e-3,), search_steps=2, steps=2, batch_size=2,
            crop=(64, 96), fit=None, inverse=training.Schedule(2, 1e-3, 2, 1),
            head=training.Head(8, 16, 1, None, 24, "guiding"),
            data_dir=miniature.write("camvid", settings.output / "miniature"),
        )  # fmt: skip
    sources = [data.load("camvid", settings.data_dir, s) for s in _SPLITS]
    if settings.fit:
        sources = [data.Resized(source, settings.fit) for source in sources]
    print("| method | rate | seed | mIoU | boundary F |\n|---|---|---|---|---|")
    for method in settings.methods:
        tuned = method.replace("ft-w", "ff")  # FT-W uses the prior of FF
        mious = [
            run(settings, sources, tuned, rate, settings.search_steps)["mIoU"]
            for rate in settings.rates
        ]
        rate = settings.rates[mious.index(max(mious))]
        for seed in range(settings.seeds):
            s = run(settings, sources, method, rate, settings.steps, seed)
            figures = f"{s['mIoU']:.2f} | {s['boundary_F']:.2f}"
            print(f"| {method} | {rate:g} | {seed} | {figures} |", flush=True)


if __name__ == "__main__":
    training.run_recipe(main, Settings, __doc__)
