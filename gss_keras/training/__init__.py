"""Training: optimizer, schedules, checkpoints and complete runs."""

from gss_keras.training.architectures import ARCHITECTURES, build_backbone
from gss_keras.training.checkpoints import Checkpoints
from gss_keras.training.command import run_recipe
from gss_keras.training.optimizer import (
    WarmupPolynomialDecay,
    adamw,
    undecayed_in_release,
)
from gss_keras.training.rounds import DivergedError, Rounds
from gss_keras.training.run import Run
from gss_keras.training.settings import (
    Crop,
    Head,
    Machine,
    Schedule,
    Settings,
    Watch,
)
from gss_keras.training.trainer import (
    adapt_to_masks,
    compile_stage,
    train_on_masks,
    train_stage,
    training_batches,
)

__all__ = [
    "ARCHITECTURES",
    "Checkpoints",
    "Crop",
    "DivergedError",
    "Head",
    "Machine",
    "Rounds",
    "Run",
    "Schedule",
    "Settings",
    "WarmupPolynomialDecay",
    "Watch",
    "adamw",
    "adapt_to_masks",
    "build_backbone",
    "compile_stage",
    "run_recipe",
    "train_on_masks",
    "train_stage",
    "training_batches",
    "undecayed_in_release",
]
