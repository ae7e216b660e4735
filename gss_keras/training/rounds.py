"""What happens after each round of a training."""

import contextlib
import csv
import functools
import math
import os
import pathlib

import keras

from gss_keras import distribution


class DivergedError(ArithmeticError):
    """The loss of a training is no longer a number."""


class Rounds(keras.callbacks.Callback):
    """Checks, validates, writes down and saves, in this order.

    A round is what lies between two checkpoints; to Keras it is an epoch, so
    that everything here happens where a training can go on from. Of several
    processes the chief alone validates and writes files, while others wait.

    Args:
        batches: The `Batches` that are trained on. Each round is told its
            position in them.
        updates: Number of updates of the weights in a round.
        checkpoints: The training's `Checkpoints`.
        curve: Path of the CSV file with one line for each round.
        validate: Callable of the step that returns a dict of scores with
            `val_mIoU`, or None.
        validate_every: Number of rounds between two validations.
        rows: Lines of the curve so far, a list of dicts.
        tensorboard: Folder for TensorBoard, or None.

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
            "learning rate, lengthen the warm-up or limit gradients "
            "(`clipnorm`). The last good checkpoint, in "
            f"{self.checkpoints.folder}, is of step "
            f"{progress['step'] if progress else 0}."
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
    """Put the running average of the weights in their place for a while."""
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
