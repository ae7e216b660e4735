r"""Replace the encoder of the posterior with a cheaper one to train faster.

Writes a preset of the posterior with the cheaper encoder, which the training
recipes pick up, and `scores.json`: the fraction of tokens of val masks that
equal those of the tokenizer's encoder, and the reconstruction mIoU with either.

    KERAS_BACKEND=tensorflow python recipes/distill_encoder.py \
        --data-dir CamVid --output outputs/camvid/posterior
    KERAS_BACKEND=tensorflow python recipes/train_camvid.py \
        --data-dir CamVid --output outputs/camvid

The default, a lookup table, needs no training but only fits the bundled
tokenizer; `--kind direct` distills a network for any tokenizer. `--debug` needs
no data.
"""

import dataclasses
import json
import pathlib
from typing import Literal

import keras
import numpy as np
from keras import ops

import gss_keras
from gss_keras import data, training
from gss_keras.synthetic import miniature


@dataclasses.dataclass(frozen=True)
class Settings:
    """Encoder, data set and training length."""

    dataset: str = "camvid"
    """A name of `gss_keras.data.catalog`."""
    data_dir: pathlib.Path | None = None
    output: pathlib.Path = pathlib.Path("outputs/camvid/posterior")
    tokenizer: str = "maskige"
    kind: Literal["lookup", "direct"] = "lookup"
    schedule: training.Schedule = training.Schedule(
        1500, 4e-3, batch_size=8, warmup_steps=75, weight_decay=0.0
    )
    """Schedule of the direct encoder, as are `crop`, `channels`, `depth`."""
    crop: training.Crop = training.Crop(
        (96, 128), scale_range=(0.75, 1.5), balance=0.5
    )
    channels: int = 64
    depth: int = 2
    limit: int | None = None
    """Maximum number of masks to evaluate, evenly spaced in the data set."""
    seed: int = 0
    debug: bool = False


def distill(settings, posterior, train):
    """Train a direct encoder to predict the posterior's tokens."""
    encoder = gss_keras.DirectEncoder.for_posterior(
        posterior, channels=settings.channels, depth=settings.depth
    )
    distillation = gss_keras.EncoderDistillation(posterior, encoder)
    training.train_on_masks(
        distillation, train, settings.schedule, settings.crop,
        settings.output / "distillation", settings.seed,
    )  # fmt: skip
    return encoder


def compare(exact, cheaper, masks):
    """Return the token accuracy and the reconstruction mIoU."""
    accuracies = []
    for mask in masks:
        tokens = (
            ops.convert_to_numpy(posterior.encode(mask[None]))
            for posterior in (exact, cheaper)
        )
        accuracies.append(np.mean(np.equal(*tokens)))
    scores = {"token accuracy": float(np.mean(accuracies))}
    for name, posterior in (("exact", exact), ("cheaper", cheaper)):
        posterior.compile()
        reconstruction = posterior.evaluate(
            masks, batch_size=2, return_dict=True, verbose=0
        )
        scores[f"mIoU through {name} tokens"] = float(reconstruction["mIoU"])
    return scores


def main(settings):
    """Build the encoder, save the posterior, compare the scores."""
    if settings.debug:
        small = training.Schedule(3, 1e-3, batch_size=2, warmup_steps=1)
        root = settings.output / "miniature"
        settings = dataclasses.replace(
            settings, schedule=small, channels=8, limit=1,
            crop=training.Crop((32, 48)),
            data_dir=miniature.write(settings.dataset, root),
        )  # fmt: skip
    keras.utils.set_random_seed(settings.seed)
    train, val = (
        data.load(settings.dataset, settings.data_dir, split)
        for split in ("train", "val")
    )
    posterior = gss_keras.LatentPosterior(
        gss_keras.palettes.maximal_distance(train.num_classes),
        gss_keras.DiscreteVAE.from_preset(settings.tokenizer),
        classes=train.classes,
    )
    if settings.kind == "lookup":
        encoder = gss_keras.LookupEncoder.for_posterior(posterior)
    else:
        encoder = distill(settings, posterior, train)
    cheaper = posterior.with_encoder(encoder)
    cheaper.save_to_preset(settings.output / "preset")

    count = settings.limit or len(val)
    chosen = [i * len(val) // count for i in range(count)]
    masks = [val[index]["mask"] for index in chosen]
    scores = compare(posterior, cheaper, np.stack(masks))
    for name, score in scores.items():
        print(f"{name}: {score:.4f}")
    (settings.output / "scores.json").write_text(json.dumps(scores, indent=1))
    return scores


if __name__ == "__main__":
    training.run_recipe(main, Settings, __doc__)
