r"""Train generative segmentation on Cityscapes with the paper's protocol.

Published: GSS-FF with ResNet-101 77.76 mIoU, GSS-FT-W 78.46 (Swin-L 78.90 and
80.05). Not yet trained at this size with this recipe.

    KERAS_BACKEND=jax python recipes/train_cityscapes.py \
        --data-dir cityscapes --variant ft-w

The folder contains `leftImg8bit/` and `gtFine/` as unpacked. Needs the weights
of DALL-E's tokenizer and of the backbone, see docs/models.md. Run the same
command again to resume after an interruption. `--debug` needs no data.
"""

import dataclasses
import pathlib

from gss_keras import training


@dataclasses.dataclass(frozen=True)
class Settings(training.Settings):
    """The published hyperparameters for ResNet-101.

    With Swin-L, FT-W is trained for 40,000 steps at a learning rate of 7.5e-4.
    """

    output: pathlib.Path = pathlib.Path("outputs/cityscapes")
    backbone: str = "resnet101"
    head: training.Head = training.Head(depth=6)
    """Two attention blocks with Swin-L."""
    crop: training.Crop = training.Crop(size=(768, 768), fit=(2049, 1025))
    prior: training.Schedule = training.Schedule(80_000, 1.5e-3)
    inverse: training.Schedule = training.Schedule(80_000, 1.5e-3)
    window: tuple[int, int] | None = (768, 768)
    stride: tuple[int, int] | None = (512, 512)


def main(settings):
    """Train the posterior, the prior and X^-1, then evaluate."""
    run = training.Run(settings, "cityscapes")
    train, val = run.open("train"), run.open("val")
    posterior = run.posterior(train)  # stage I: mask -> tokens -> mask
    prior = run.prior(posterior, train, val)  # stage II: photo -> tokens
    segmenter = run.inverse(prior, train, val)
    return run.evaluate(segmenter, val)


if __name__ == "__main__":
    training.run_recipe(main, Settings, __doc__)
