r"""Train a generative segmenter on CamVid's real street photos.

The data is CamVid in the layout of the SegNet tutorial: folders `train`,
`trainannot`, `val` and `valannot`. A run that was interrupted goes on where
it stopped when the same command is given again.

    KERAS_BACKEND=tensorflow python recipes/train_camvid.py \
        --data-dir CamVid --fast

`--fast` trains 2400 steps instead of 20,000. It reached 67.4 mIoU on the 101
val photos at full size, with TensorFlow on two CPU cores that other jobs kept
busy too, in 68 minutes; 60.2 after 800 steps, 65.4 after 1600. Undisturbed, a
step took 0.95 seconds. The long training has not been run yet.
"""

import dataclasses
import pathlib

import keras
import numpy as np
import tyro

import gss_keras
from gss_keras import data, training


@dataclasses.dataclass(frozen=True)
class Settings:
    """Length and constants of the training."""

    data_dir: pathlib.Path
    output: pathlib.Path = pathlib.Path("outputs/camvid")
    """Folder for checkpoints, curve, preset and picture."""
    fast: bool = False
    """A shorter training."""
    debug: bool = False
    """A few steps, to see that it runs."""
    steps: int = 20_000
    rounds: int = 20
    """Validations, evenly spread over the training."""
    batch_size: int = 4
    crop: tuple[int, int] = (192, 256)
    learning_rate: float = 2e-3
    workers: int = 0
    seed: int = 0


def main(settings):
    """Train the prior on CamVid and show what it sees on unseen photos."""
    if settings.fast:
        settings = dataclasses.replace(settings, steps=2400, rounds=6)
    if settings.debug:
        settings = dataclasses.replace(
            settings, steps=2, rounds=1, batch_size=2, crop=(64, 96)
        )
    keras.utils.set_random_seed(settings.seed)
    output = settings.output
    output.mkdir(parents=True, exist_ok=True)
    train = data.CamVid(settings.data_dir, "train")
    photos, masks = data.load_all(data.CamVid(settings.data_dir, "val"))

    # Stage I: nothing to learn with nearest colors; how good can it get?
    posterior = gss_keras.LatentPosterior(
        palette=gss_keras.palettes.maximal_distance(train.num_classes),
        tokenizer=gss_keras.DiscreteVAE.from_preset("maskige"),
    )
    posterior.compile()
    ceiling = posterior.evaluate(masks, batch_size=4, return_dict=True)

    # Stage II: predict the tokens from the photo.
    backbone = gss_keras.backbones.EfficientNetLite.from_preset(
        "efficientnet_lite0"
    )
    backbone.freeze_up_to(stride=4)
    prior = gss_keras.LatentPrior(
        backbone,
        posterior,
        level_channels=64,
        channels=128,
        depth=1,
        heads=4,
        projection=256,
    )
    batches = data.batches(
        train,
        settings.batch_size,
        data.Augmentation(settings.crop, (0.6, 1.6), balance=0.5),
        seed=settings.seed,
        shuffle=True,
        repeat=True,
        workers=settings.workers,
    )
    prior.compile(
        training.adamw(
            settings.learning_rate, settings.steps, settings.steps // 20
        )
    )
    prior.fit(
        batches,
        epochs=settings.rounds,
        steps_per_epoch=settings.steps // settings.rounds,
        validation_data=(photos, masks),
        validation_batch_size=4,
        shuffle=False,  # the batches are
        callbacks=[
            keras.callbacks.BackupAndRestore(output / "checkpoint"),
            keras.callbacks.CSVLogger(output / "curve.csv", append=True),
        ],
    )

    segmenter = gss_keras.GenerativeSegmenter(prior)
    segmenter.save_to_preset(output / "preset")
    segmenter.compile()
    scores = segmenter.evaluate(photos, masks, batch_size=4, return_dict=True)
    few = np.linspace(0, len(photos) - 1, 4).astype(int)
    picture = gss_keras.visualize.segmentation_panel(
        segmenter, photos[few], masks[few]
    )
    gss_keras.visualize.save(picture, output / "segmentation.png")
    print(f"ceiling {ceiling['mIoU']:.2f}, mIoU {scores['mIoU']:.2f}")
    for name, iou in zip(
        train.classes, segmenter.scores.class_iou(), strict=True
    ):
        print(f"  {name:<12}{iou:5.1f}")
    return scores | {"ceiling": ceiling["mIoU"]}


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
