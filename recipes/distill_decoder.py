r"""Distill a segmenter's decoder and X^-1 into one lightweight direct decoder.

Trains on masks only. Writes a preset of the same segmenter with the direct
decoder, and `scores.json`: reconstruction mIoU and segmentation mIoU with
either decoder.

    KERAS_BACKEND=tensorflow python recipes/distill_decoder.py \
        --preset camvid --dataset camvid --data-dir CamVid

`--debug` needs no data.
"""

import dataclasses
import json
import pathlib

import keras
import numpy as np

import gss_keras
from gss_keras import data, evaluation, training
from gss_keras.synthetic import miniature


@dataclasses.dataclass(frozen=True)
class Settings:
    """Segmenter, data set and training length."""

    preset: str = "camvid"
    """Folder or name of a `GenerativeSegmenter`."""
    dataset: str = "camvid"
    """A name of `gss_keras.data.catalog`."""
    data_dir: pathlib.Path | None = None
    output: pathlib.Path = pathlib.Path("outputs/direct_decoder")
    schedule: training.Schedule = training.Schedule(
        4000, 4e-3, batch_size=8, warmup_steps=150, weight_decay=0.0
    )
    crop: training.Crop = training.Crop(
        (96, 128), scale_range=(0.75, 1.5), balance=0.5
    )
    channels: int = 51
    depth: int = 2
    side: int = 5
    """Side of the neighborhood of tokens whose embeddings are combined."""
    limit: int | None = None
    """Maximum number of photos to evaluate, evenly spaced in the data set."""
    seed: int = 0
    debug: bool = False


def distill(settings, posterior, train):
    """Train a direct decoder to predict the posterior's masks."""
    decoder = gss_keras.DirectDecoder.for_posterior(
        posterior, channels=settings.channels, depth=settings.depth,
        side=settings.side,
    )  # fmt: skip
    distillation = gss_keras.DecoderDistillation(posterior, decoder)
    training.train_on_masks(
        distillation, train, settings.schedule, settings.crop,
        settings.output / "distillation", settings.seed,
    )  # fmt: skip
    return distillation


def main(settings):
    """Distill the decoder, save the segmenter, compare the scores."""
    if settings.debug:
        small = training.Schedule(3, 1e-3, batch_size=2, warmup_steps=1)
        root = settings.output / "miniature"
        settings = dataclasses.replace(
            settings, schedule=small, channels=8, limit=1,
            crop=training.Crop((32, 48)),
            data_dir=miniature.write("camvid", root),
        )  # fmt: skip
    keras.utils.set_random_seed(settings.seed)
    train, val = (
        data.load(settings.dataset, settings.data_dir, split)
        for split in ("train", "val")
    )
    segmenter = gss_keras.GenerativeSegmenter.from_preset(settings.preset)
    posterior = segmenter.posterior
    posterior.compile()
    distillation = distill(settings, posterior, train)
    direct = gss_keras.GenerativeSegmenter(
        segmenter.prior, segmenter.window, segmenter.stride,
        decoder=distillation.decoder,
    )  # fmt: skip
    direct.save_to_preset(settings.output / "preset")

    count = settings.limit or len(val)
    chosen = [i * len(val) // count for i in range(count)]
    masks = np.stack([val[index]["mask"] for index in chosen])
    scores = {}
    for name, stage, model in (
        ("decoder and X^-1", posterior, segmenter),
        ("direct decoder", distillation, direct),
    ):
        reconstruction = stage.evaluate(
            masks, batch_size=2, return_dict=True, verbose=0
        )
        segmentation = evaluation.evaluate(model, val, limit=settings.limit)
        scores[name] = {
            "reconstruction mIoU": reconstruction["mIoU"],
            "segmentation mIoU": float(segmentation["mIoU"]),
        }
        print(name, scores[name], flush=True)
    (settings.output / "scores.json").write_text(json.dumps(scores, indent=1))
    return scores


if __name__ == "__main__":
    training.run_recipe(main, Settings, __doc__)
