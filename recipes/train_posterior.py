r"""Stage I: train and evaluate a posterior.

Reconstructs masks from their tokens with one of the paper's variants, after
training its learned parts, if any. Writes `scores.json`, the posterior as a
preset, the palette and one picture: mask | maskige | decoded | reconstructed |
errors.

    KERAS_BACKEND=tensorflow python recipes/train_posterior.py \
        --variant ft --dataset camvid --data-dir CamVid

Expected scores of all variants on CamVid's val masks: benchmarks/posterior.md.
The default data set is synthetic; `--debug` takes only a few steps.
"""

import dataclasses
import json
import pathlib
import time
from typing import Literal

import keras
import numpy as np
import tyro

import gss_keras
from gss_keras import data, palettes, synthetic, training
from gss_keras.models.variants import VARIANTS


@dataclasses.dataclass(frozen=True)
class Settings:
    """Variant, data set and training length."""

    variant: Literal[*VARIANTS] = "ft"
    dataset: Literal["camvid", "folders", "streets"] = "streets"
    """CamVid in SegNet's layout; folders `train/` and `val/`, each with
    `images/`, `masks/` and `classes.txt`; or synthetic street scenes."""
    data_dir: pathlib.Path | None = None
    tokenizer: str = "maskige"
    palette: pathlib.Path | None = None
    """Palette written by `palettes.save`, instead of the variant's."""
    inverse: Literal["nearest_color", "least_squares"] | None = None
    """X^-1 instead of the variant's."""
    output: pathlib.Path = pathlib.Path("outputs/posterior")
    steps: int = 400
    batch_size: int = 8
    crop: tuple[int, int] = (96, 128)
    learning_rate: float = 4e-3
    temperature: float = 0.03
    """Temperature of the softmax that passes gradients to learned colors."""
    token_noise: float = 0.0
    """Scale of its Gumbel noise; 1 is the Gumbel-softmax of the paper."""
    seed: int = 0
    debug: bool = False


def main(settings):
    """Train the posterior on train masks, evaluate it on val masks."""
    if settings.debug:
        settings = dataclasses.replace(settings, steps=3, batch_size=2)
    keras.utils.set_random_seed(settings.seed)
    output = settings.output
    train, val = (read(settings, split) for split in ("train", "val"))
    arguments = {}
    if settings.palette:
        arguments["palette"] = palettes.load(settings.palette)
    if settings.inverse:
        arguments["inverse"] = settings.inverse
    posterior = gss_keras.LatentPosterior.from_variant(
        settings.variant,
        train.num_classes,
        gss_keras.DiscreteVAE.from_preset(settings.tokenizer),
        seed=settings.seed,
        temperature=settings.temperature,
        token_noise=settings.token_noise,
        **arguments,
    )
    posterior.compile(
        training.adamw(
            settings.learning_rate, settings.steps, settings.steps // 20
        )
    )
    seconds = 0.0
    if posterior.trainable_variables:
        batches = data.batches(
            train, settings.batch_size,
            data.Augmentation(settings.crop, (0.75, 1.5), balance=0.5),
            seed=settings.seed, shuffle=True, repeat=True, masks_only=True,
        )  # fmt: skip
        start = time.monotonic()
        posterior.fit(batches, steps_per_epoch=settings.steps, shuffle=False)
        seconds = time.monotonic() - start

    masks = data.load_all(val)[1]
    scores = posterior.evaluate(masks, batch_size=2, return_dict=True)
    scores |= {
        "seconds": seconds,
        "parameters": sum(
            int(np.prod(v.shape)) for v in posterior.trainable_variables
        ),
        "class_iou": dict(
            zip(val.classes, posterior.scores.class_iou(), strict=True)
        ),
    }
    posterior.save_to_preset(output / "preset")
    palettes.save(posterior.palette, output / "palette.json")
    (output / "scores.json").write_text(json.dumps(scores, indent=1))
    few = np.linspace(0, len(masks) - 1, 3).astype(int)
    picture = gss_keras.visualize.reconstruction_panel(posterior, masks[few])
    gss_keras.visualize.save(picture, output / "reconstruction.png")
    print(f"{settings.variant}: reconstruction mIoU {scores['mIoU']:.2f}")
    for name, iou in scores["class_iou"].items():
        print(f"  {name:<12}{iou:5.1f}")
    return scores


def read(settings, split):
    """Return the source of one split."""
    if settings.dataset == "camvid":
        return data.CamVid(settings.data_dir, split)
    folder = (settings.data_dir or settings.output) / split
    if settings.dataset == "streets":
        count = 4 if settings.debug else 60
        return synthetic.streets.draw(folder, count, seed=len(split))
    return data.Folders(
        folder / "images", folder / "masks", folder / "classes.txt"
    )


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
