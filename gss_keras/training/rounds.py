"""The Keras callback that validates, logs and saves checkpoints."""

import contextlib
import csv
import functools
import math
import os
import pathlib

import keras

from gss_keras import distribution


class DivergedError(ArithmeticError):
    """The training loss is NaN or infinite."""


class Rounds(keras.callbacks.Callback):
    """Check the loss, validate, log and save a checkpoint after each round.

    A round is the interval between two checkpoints. It is one Keras epoch, so
    that each validation and log entry belongs to a checkpoint from which the
    training can resume. In multi-process training, only the chief validates
    and writes files, while the others wait.

    Args:
        batches: The training `Batches`, whose `epoch` is set to the round.
        updates: Number of weight updates in a round.
        checkpoints: The training's `Checkpoints`.
        curve: Path of the CSV file with one row for each round.
        validate: Callable that takes the step and returns a dict of scores
            with `val_mIoU`, or None.
        validate_every: Number of rounds between two validations.
        rows: Rows of the curve so far, a list of dicts.
        tensorboard: Log directory for TensorBoard, or None.

    Raises:
        DivergedError: After a round whose loss is not finite.
        OSError: If a file cannot be written.
    """

    def __init__(
        self,
        batches,
        updates,
        checkpoints,
        curve,
        validate=None,
        validate_every=1,
        rows=(),
        tensorboard=None,
    ):
        super().__init__()
        self.batches = batches
        self.updates = updates
        self.checkpoints = checkpoints
        self.curve = pathlib.Path(curve)
        self.validate = validate
        self.validate_every = validate_every
        self.tensorboard = tensorboard
        self.rows = list(rows)

    def on_epoch_begin(self, epoch, logs=None):  # noqa: ARG002
        self.batches.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        step = (epoch + 1) * self.updates
        row = {"step": step, **{k: float(v) for k, v in (logs or {}).items()}}
        self._check(row)
        if not distribution.is_chief():
            return
        if self.validate and (epoch + 1) % self.validate_every == 0:
            with _averaged(self.model):
                row |= self.validate(step)
        self.rows.append(row)
        self._write_curve()
        self._write_tensorboard(row)
        progress = {
            "step": step,
            "round": epoch + 1,
            "score": row.get("val_mIoU"),
            "rows": self.rows,
        }
        self.checkpoints.save(self.model, progress)

    def _check(self, row):
        if math.isfinite(row.get("loss", 0.0)):
            return
        progress = self.checkpoints.latest()
        raise DivergedError(
            f"The loss is {row['loss']} after step {row['step']}. Lower the "
            "learning rate, increase the warmup steps or clip the gradients "
            f"(`clipnorm`). The last checkpoint in {self.checkpoints.folder} "
            f"is of step {progress['step'] if progress else 0}."
        )

    def _write_curve(self):
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        partial = self.curve.with_suffix(".partial")
        with open(partial, "w", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(self.rows)
        os.replace(partial, self.curve)

    def _write_tensorboard(self, row):
        if self.tensorboard is None:
            return
        for name, value in row.items():
            self._writer.add_scalar(name, value, row["step"])
        self._writer.flush()

    @functools.cached_property
    def _writer(self):
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ImportError(
                "`tensorboard` needs the package `tensorboardX`. Install it "
                "with `pip install gss-keras[tensorboard]`."
            ) from error
        return SummaryWriter(str(self.tensorboard))

    def on_train_end(self, logs=None):  # noqa: ARG002
        if "_writer" in self.__dict__:
            self._writer.close()


@contextlib.contextmanager
def _averaged(model):
    """Swap in the exponential moving average of the weights temporarily."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if not getattr(optimizer, "use_ema", False):
        yield
        return
    swap = keras.callbacks.SwapEMAWeights()
    swap.set_model(model)
    swap.on_test_begin()
    try:
        yield
    finally:
        swap.on_test_end()
