r"""Train generative segmentation on MSeg's seven training sets jointly.

Published, harmonic mean of the mIoU on six data sets unseen during training:
GSS-FF with HRNet-W48 52.6, GSS-FT-W 55.2 (Swin-L 59.5 and 61.9). Not yet
trained at this size with this recipe.

    KERAS_BACKEND=jax python recipes/train_mseg.py --data-dir mseg
    KERAS_BACKEND=jax python recipes/evaluate.py --dataset mseg \
        --data-dir mseg --preset outputs/mseg/preset

The folder is the output of MSeg's own scripts. Needs the weights of DALL-E's
tokenizer and of the backbone, see docs/models.md. Run the same command again to
resume after an interruption. `--debug` needs no data.
"""

import dataclasses
import pathlib

from gss_keras import training


@dataclasses.dataclass(frozen=True)
class Settings(training.Settings):
    """The published hyperparameters for HRNet-W48.

    With Swin-L, FT-W is trained for 40,000 steps at a learning rate of 1.5e-3.
    """

    output: pathlib.Path = pathlib.Path("outputs/mseg")
    backbone: str = "hrnet_w48"
    head: training.Head = training.Head(depth=6, pixel_branch="shared")
    """Two attention blocks with Swin-L."""
    crop: training.Crop = training.Crop(size=(512, 512), fit=(2048, 512))
    prior: training.Schedule = training.Schedule(160_000, 1.2e-4)
    inverse: training.Schedule = training.Schedule(160_000, 1.2e-4)
    inverse_depth: int = 2
    window: tuple[int, int] | None = (768, 768)
    stride: tuple[int, int] | None = (512, 512)


def main(settings):
    """Train the posterior, the prior and X^-1, then evaluate."""
    run = training.Run(settings, "mseg")
    train, val = run.open("train"), run.open("val")
    posterior = run.posterior(train)  # stage I: mask -> tokens -> mask
    prior = run.prior(posterior, train, val)  # stage II: photo -> tokens
    segmenter = run.inverse(prior, train, val)
    return run.evaluate(segmenter, val)


if __name__ == "__main__":
    training.run_recipe(main, Settings, __doc__)
