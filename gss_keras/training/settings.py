"""What a training recipe can be told on its command line."""

import dataclasses
import pathlib
from typing import Literal

Stage = Literal["posterior", "prior", "inverse", "evaluation"]


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How one stage is trained."""

    steps: int
    """Updates of the weights."""
    learning_rate: float
    """Highest learning rate of AdamW."""
    batch_size: int = 16
    """Photos that one update averages over, on all devices together."""
    warmup_steps: int = 1500
    accumulate: int = 1
    """Parts that a batch is computed in, one after another, so that it fits
    into memory."""
    weight_decay: float = 0.01
    clipnorm: float | None = None
    """Largest norm of one weight's gradient."""
    ema: float | None = None
    """Momentum of the running average of the weights, such as 0.999, which is
    validated and kept in their place."""

    def __post_init__(self):
        """Check what does not fit together."""
        if self.batch_size % self.accumulate:
            raise ValueError(
                "`accumulate` must divide `batch_size`. Received: "
                f"accumulate={self.accumulate}, batch_size={self.batch_size}"
            )


@dataclasses.dataclass(frozen=True)
class Crop:
    """What is cut out of the photos to train on."""

    size: tuple[int, int]
    """Height and width in pixels."""
    fit: tuple[int, int] | None = None
    """Longest and shortest side that photos are brought to first."""
    scale_range: tuple[float, float] = (0.5, 2.0)
    balance: float = 0.0
    """Share of crops that are centered on a class drawn evenly."""


@dataclasses.dataclass(frozen=True)
class Head:
    """Sizes of the prior after its backbone, as in `LatentPrior`."""

    level_channels: int = 384
    channels: int = 512
    depth: int = 2
    heads: int | None = 16
    projection: int = 2048
    pixel_branch: Literal["separate", "shared", "guiding"] = "separate"
    pixel_loss_weight: float = 0.2


@dataclasses.dataclass(frozen=True)
class Watch:
    """How a training is watched and saved."""

    validate_every: int = 8000
    """Updates between two validations."""
    save_every: int = 500
    """Updates between two checkpoints: what a crash costs at most."""
    photos: int | None = None
    """Number of photos of a validation while training; all by default."""
    recent: int = 2
    """Latest checkpoints to keep, besides the best one."""
    best: bool = False
    """Go on with the weights of the best validation, not with the last."""
    tensorboard: bool = False

    def __post_init__(self):
        """Check what does not fit together."""
        if self.validate_every % self.save_every:
            raise ValueError(
                "`save_every` must divide `validate_every`, so that every "
                f"validation is saved. Received: save_every={self.save_every}, "
                f"validate_every={self.validate_every}"
            )


@dataclasses.dataclass(frozen=True)
class Machine:
    """What to compute on. The result does not depend on it, but for noise."""

    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    all_devices: bool = False
    """Split batches over all devices; on PyTorch those of `torchrun`."""
    workers: int = 0
    """Processes that read and change photos."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything of a training from photos to an evaluated preset."""

    crop: Crop
    prior: Schedule
    inverse: Schedule
    """Of X^-1 on the prior's predictions (FT-W)."""
    posterior: Schedule = Schedule(1000, 4e-3, batch_size=8, warmup_steps=50)
    """Of X^-1 on reconstructions of masks (FT)."""
    data_dir: pathlib.Path | None = None
    output: pathlib.Path = pathlib.Path("outputs/training")
    """Folder for checkpoints, curves, pictures and presets. The same command
    given again goes on where it stopped."""
    variant: Literal["ff", "ft", "ft-w"] = "ff"
    backbone: str = "resnet101"
    """A name of `gss_keras.training.ARCHITECTURES`, or `kerashub:` and the
    name of a KerasHub preset."""
    backbone_weights: str | None = None
    """Preset of the backbone's weights; "none" for random ones."""
    freeze_up_to: int | None = None
    """Stride up to which EfficientNet-Lite0 stays as it is."""
    head: Head = Head()
    tokenizer: str = "dalle"
    palette: str = "maximal_distance"
    """That, the name of a palette, or a file that `palettes.save` wrote."""
    inverse_depth: int = 1
    """Attention blocks of FT-W's X^-1."""
    window: tuple[int, int] | None = None
    """Windows that photos are evaluated in; as a whole by default."""
    stride: tuple[int, int] | None = None
    stages: tuple[Stage, ...] = ("posterior", "prior", "inverse", "evaluation")
    """What to do now; what comes before must have been done."""
    watch: Watch = Watch()
    machine: Machine = Machine()
    skip_bad_files: bool = False
    """Go on without files that cannot be read, and list them."""
    seed: int = 0
    debug: bool = False
    """A few steps of a small model on a miniature drawn here: needs no data."""

    def shrunk(self):
        """Return settings that run through everything in a minute."""
        small = {"batch_size": 2, "accumulate": 1, "warmup_steps": 1}
        return dataclasses.replace(
            self,
            crop=dataclasses.replace(
                self.crop, size=(64, 96), fit=self.crop.fit and (192, 96)
            ),
            **{
                stage: dataclasses.replace(
                    getattr(self, stage), steps=2, **small
                )
                for stage in ("posterior", "prior", "inverse")
            },
            head=dataclasses.replace(
                self.head,
                level_channels=8,
                channels=16,
                depth=1,
                heads=self.head.heads and 2,
                projection=24,
            ),
            tokenizer="maskige",
            window=self.window and (64, 64),
            stride=self.stride and (48, 48),
            watch=dataclasses.replace(
                self.watch, validate_every=2, save_every=1, photos=2
            ),
        )
