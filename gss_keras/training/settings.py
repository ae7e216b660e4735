"""The settings of a training recipe, which are its command-line options."""

import dataclasses
import pathlib
from typing import Literal

from gss_keras.models.variants import VARIANTS

Stage = Literal["posterior", "prior", "inverse", "evaluation"]


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Training schedule of one stage."""

    steps: int
    """Number of weight updates."""
    learning_rate: float
    """Peak learning rate of AdamW."""
    batch_size: int = 16
    """Global batch size: photos per weight update, over all devices."""
    warmup_steps: int = 1500
    accumulate: int = 1
    """Gradient accumulation: number of smaller batches per weight update,
    which saves memory."""
    weight_decay: float = 0.01
    clipnorm: float | None = None
    """Maximum gradient norm of each variable."""
    ema: float | None = None
    """Momentum of the exponential moving average of the weights, such as
    0.999, which is validated and saved in their place."""

    def __post_init__(self):
        """Raise ValueError for inconsistent values."""
        if self.batch_size % self.accumulate:
            raise ValueError(
                "`accumulate` must divide `batch_size`. Received: "
                f"accumulate={self.accumulate}, batch_size={self.batch_size}"
            )


@dataclasses.dataclass(frozen=True)
class Crop:
    """Random scaling and cropping of training photos."""

    size: tuple[int, int]
    """Height and width of the crop in pixels."""
    fit: tuple[int, int] | None = None
    """Long and short side that photos are first resized to fit, keeping the
    aspect ratio."""
    scale_range: tuple[float, float] = (0.5, 2.0)
    """Range of the random resize factor."""
    balance: float = 0.0
    """Fraction of crops centered on a pixel of a uniformly sampled class."""


@dataclasses.dataclass(frozen=True)
class Head:
    """Hyperparameters of the prior after its backbone, see `LatentPrior`."""

    level_channels: int = 384
    channels: int = 512
    depth: int = 2
    heads: int | None = 16
    projection: int = 2048
    pixel_branch: Literal["separate", "shared", "guiding"] = "separate"
    pixel_loss_weight: float = 0.2


@dataclasses.dataclass(frozen=True)
class Watch:
    """Validation, checkpoints and logging of a training."""

    validate_every: int = 8000
    """Weight updates between two validations."""
    save_every: int = 500
    """Weight updates between two checkpoints, the most that a crash loses."""
    photos: int | None = None
    """Number of photos for validation during training; all by default."""
    recent: int = 2
    """Number of latest checkpoints to keep, in addition to the best one."""
    best: bool = False
    """Use the weights with the best validation score, not the last ones."""
    tensorboard: bool = False
    """Log to TensorBoard, too."""

    def __post_init__(self):
        """Raise ValueError for inconsistent values."""
        if self.validate_every % self.save_every:
            raise ValueError(
                "`save_every` must divide `validate_every`, so that every "
                f"validation is saved. Received: save_every={self.save_every}, "
                f"validate_every={self.validate_every}"
            )


@dataclasses.dataclass(frozen=True)
class Machine:
    """Precision and hardware, which change the result by noise only."""

    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    all_devices: bool = False
    """Data-parallel training on all devices; on PyTorch, with `torchrun`."""
    workers: int = 0
    """Number of worker processes for reading and augmentation."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of a complete run: data, training, evaluation, preset."""

    crop: Crop
    prior: Schedule
    inverse: Schedule
    """Schedule of X^-1 on the prior's predictions (FT-W)."""
    posterior: Schedule = Schedule(1000, 4e-3, batch_size=8, warmup_steps=50)
    """Schedule of X^-1 on reconstructions of masks (FT)."""
    data_dir: pathlib.Path | None = None
    """Folder of the data set."""
    output: pathlib.Path = pathlib.Path("outputs/training")
    """Folder for checkpoints, curves, pictures and presets. Run the same
    command again to resume where it stopped."""
    variant: Literal[*VARIANTS] = "ff"
    """Variant of the paper: which of X and X^-1 are trained, and on what; see
    `gss_keras.models.variants`."""
    backbone: str = "resnet101"
    """A name of `gss_keras.training.ARCHITECTURES`, or `kerashub:` and the
    name of a KerasHub preset."""
    backbone_weights: str | None = None
    """Preset with the backbone's weights; "none" for random weights."""
    freeze_up_to: int | None = None
    """Stride up to which the stages of EfficientNet-Lite0 are frozen."""
    head: Head = Head()
    tokenizer: str = "dalle"
    """Folder or name of the tokenizer's preset."""
    palette: str = "maximal_distance"
    """Name of a palette, such as "maximal_distance" or "cityscapes", or a file
    written by `palettes.save`."""
    inverse_depth: int = 1
    """Number of Swin blocks of FT-W's X^-1."""
    window: tuple[int, int] | None = None
    """Height and width of sliding windows for evaluation; whole photos by
    default."""
    stride: tuple[int, int] | None = None
    """Vertical and horizontal stride of the windows."""
    stages: tuple[Stage, ...] = ("posterior", "prior", "inverse", "evaluation")
    """Stages to run now; earlier ones must have been run."""
    watch: Watch = Watch()
    machine: Machine = Machine()
    skip_bad_files: bool = False
    """Skip unreadable files, and list them."""
    seed: int = 0
    debug: bool = False
    """Run a few steps of a small model on a synthetic miniature data set."""

    def shrunk(self):
        """Return settings for `debug`, which run all stages in a minute."""
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
