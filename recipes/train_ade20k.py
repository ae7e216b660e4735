r"""Train generative segmentation on ADE20K with the paper's protocol.

Published: GSS-FF with Swin-L 46.29 mIoU, GSS-FT-W 48.54. Not yet trained at
this size with this recipe.

    KERAS_BACKEND=jax python recipes/train_ade20k.py \
        --data-dir ADEChallengeData2016 --variant ft-w

The folder contains `images/` and `annotations/` as unpacked. Needs the weights
of DALL-E's tokenizer and of the backbone, see docs/models.md. Run the same
command again to resume after an interruption. `--debug` needs no data.
"""

import dataclasses
import pathlib

from gss_keras import training


@dataclasses.dataclass(frozen=True)
class Settings(training.Settings):
    """The published hyperparameters."""

    output: pathlib.Path = pathlib.Path("outputs/ade20k")
    backbone: str = "swin_large"
    crop: training.Crop = training.Crop(size=(512, 512), fit=(2048, 512))
    prior: training.Schedule = training.Schedule(160_000, 1.2e-4, batch_size=32)
    inverse: training.Schedule = training.Schedule(
        40_000, 1.5e-3, batch_size=32
    )
    inverse_depth: int = 2


def main(settings):
    """Train the posterior, the prior and X^-1, then evaluate."""
    run = training.Run(settings, "ade20k")
    train, val = run.open("train"), run.open("val")
    posterior = run.posterior(train)  # stage I: mask -> tokens -> mask
    prior = run.prior(posterior, train, val)  # stage II: photo -> tokens
    segmenter = run.inverse(prior, train, val)
    return run.evaluate(segmenter, val)


if __name__ == "__main__":
    training.run_recipe(main, Settings, __doc__)
