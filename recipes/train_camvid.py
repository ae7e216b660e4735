r"""Train a generative segmenter on CamVid's real street photos.

Expected: 68.9 mIoU on the 101 val photos at full size after the 2400 steps of
`--fast`, in 75 minutes on two CPU cores shared with other jobs. The long
training has not been run yet.

    KERAS_BACKEND=tensorflow python recipes/train_camvid.py \
        --data-dir CamVid --fast

The folder contains CamVid in the layout of the SegNet tutorial: `train`,
`trainannot`, `val` and `valannot`. Run the same command again to resume after
an interruption. `--debug` needs no data.
"""

import dataclasses
import pathlib

from gss_keras import training


@dataclasses.dataclass(frozen=True)
class Settings(training.Settings):
    """Hyperparameters for training on two CPU cores."""

    output: pathlib.Path = pathlib.Path("outputs/camvid")
    fast: bool = False
    """Train for 2400 steps instead of 20,000."""
    backbone: str = "efficientnet_lite0"
    freeze_up_to: int | None = 4
    head: training.Head = training.Head(64, 128, 1, 4, 256)
    tokenizer: str = "maskige"
    crop: training.Crop = training.Crop(
        size=(192, 256), scale_range=(0.6, 1.6), balance=0.5
    )
    prior: training.Schedule = training.Schedule(
        20_000, 2e-3, batch_size=4, warmup_steps=1000
    )
    inverse: training.Schedule = training.Schedule(
        200, 2e-3, batch_size=4, warmup_steps=10
    )
    watch: training.Watch = training.Watch(validate_every=1000, save_every=200)


def main(settings):
    """Train the posterior, the prior and X^-1, then evaluate."""
    if settings.fast:
        prior = dataclasses.replace(
            settings.prior, steps=2400, warmup_steps=120
        )
        watch = dataclasses.replace(settings.watch, validate_every=400)
        settings = dataclasses.replace(settings, prior=prior, watch=watch)
    run = training.Run(settings, "camvid")
    train, val = run.open("train"), run.open("val")
    posterior = run.posterior(train)  # stage I: mask -> tokens -> mask
    prior = run.prior(posterior, train, val)  # stage II: photo -> tokens
    segmenter = run.inverse(prior, train, val)
    return run.evaluate(segmenter, val)


if __name__ == "__main__":
    training.run_recipe(main, Settings, __doc__)
