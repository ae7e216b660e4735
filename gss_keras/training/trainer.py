"""Train one stage so that it can be stopped at any moment."""

import contextlib
import pathlib
import sys

from gss_keras import data, distribution
from gss_keras.training.checkpoints import Checkpoints
from gss_keras.training.optimizer import adamw
from gss_keras.training.rounds import Rounds
from gss_keras.training.settings import Watch

# Updates between two checkpoints of a training on masks alone.
_SAVE_EVERY = 500


def compile_stage(model, schedule):
    """Compile a stage with the optimizer that a schedule asks for.

    Args:
        model: A `LatentPosterior`, `LatentPrior` or `GenerativeSegmenter`.
        schedule: A `Schedule`.
    """
    options = {}
    if schedule.accumulate > 1:
        options["gradient_accumulation_steps"] = schedule.accumulate
    if schedule.clipnorm is not None:
        options["clipnorm"] = schedule.clipnorm
    if schedule.ema is not None:
        options |= {"use_ema": True, "ema_momentum": schedule.ema}
    optimizer = adamw(
        schedule.learning_rate,
        schedule.steps,
        min(schedule.warmup_steps, schedule.steps),
        schedule.weight_decay,
        **options,
    )
    model.compile(optimizer)


def adapt_to_masks(model, source, limit=200):
    """Let a stage begin with what tokens stand for, where it can.

    Args:
        model: Any stage; nothing happens unless it is a `LatentPrior` that
            its pixel branch guides, or distills a decoder with a table.
        source: Source of the masks to count in, see `gss_keras.data`.
        limit: Most masks, evenly spread over the source.
    """
    if not model.is_adaptable:
        return
    count = min(limit, len(source))
    chosen = [i * len(source) // count for i in range(count)]
    model.adapt(source[index]["mask"] for index in chosen)


def training_batches(source, schedule, crop, seed, workers=0, masks_only=False):
    """Say what a stage is trained on.

    Args:
        source: Source of photos and masks, see `gss_keras.data`.
        schedule: A `Schedule`.
        crop: The `Crop` to cut out of them.
        seed: Seed of order and crops, an int in `[0, 2**32)`.
        workers: Number of processes that read and change photos.
        masks_only: Whether batches hold the masks alone.

    Returns:
        Callable of a number of batches, as `train_stage` takes it.
    """
    augmentation = data.Augmentation(
        crop.size, crop.scale_range, balance=crop.balance, fit=crop.fit
    )

    def batches(steps):
        return data.batches(
            source,
            schedule.batch_size // schedule.accumulate,
            augmentation,
            seed=seed,
            shuffle=True,
            repeat=True,
            workers=workers,
            masks_only=masks_only,
            steps=steps,
            shard=distribution.shard(),
        )

    return batches


def train_stage(model, batches, schedule, watch, folder, validate=None):
    """Train a compiled stage, or go on where an earlier call stopped.

    Everything that changes is kept in `folder`: a process that is killed, be
    it while it writes, goes on from the last checkpoint when this is called
    again with the same arguments, and ends with the same weights.

    Args:
        model: A compiled stage.
        batches: Callable of a number of batches that returns the `Batches` to
            train on, with that many in a pass; see `training_batches`.
        schedule: The `Schedule` it was compiled with.
        watch: A `Watch`.
        folder: Where checkpoints and `curve.csv` go.
        validate: Callable of the step that returns a dict of scores, among
            them `val_mIoU`, or None.

    Returns:
        List of dicts, the lines of the curve.

    Raises:
        ValueError: If `watch.save_every` does not divide the schedule's
            steps, or as reading photos and masks does.
        DivergedError: If the loss is not finite any more.
        OSError: If a file cannot be written.
    """
    folder = pathlib.Path(folder)
    updates = min(watch.save_every, schedule.steps)
    if schedule.steps % updates:
        raise ValueError(
            "`save_every` must divide the steps of the training, so that its "
            f"end is saved too. Received: save_every={watch.save_every}, "
            f"steps={schedule.steps}"
        )
    rounds = schedule.steps // updates
    model.build_optimizer()
    checkpoints = Checkpoints(folder / "checkpoints", watch.recent)
    progress = checkpoints.restore(model) or {"round": 0, "rows": []}
    keeper = Rounds(
        batches(updates * schedule.accumulate),
        updates,
        checkpoints,
        folder / "curve.csv",
        validate,
        max(1, watch.validate_every // updates),
        progress["rows"],
        folder / "tensorboard" if watch.tensorboard else None,
    )
    if progress["round"] < rounds:
        with _raising_what_reading_raised(keeper.batches):
            model.fit(
                keeper.batches,
                epochs=rounds,
                initial_epoch=progress["round"],
                shuffle=False,  # the batches are
                callbacks=[keeper],
                verbose=_verbosity(),
            )
    # Until the one that writes files has saved the last checkpoint.
    distribution.wait_for_all()
    if watch.best and keeper.validate:
        checkpoints.restore(model, best=True)
    if watch.best or progress["round"] == rounds:
        # `fit` puts averaged weights in place at its end, here it did not.
        model.optimizer.finalize_variable_values(model.trainable_variables)
    return keeper.rows


def train_on_masks(model, source, schedule, crop, folder, seed=0):
    """Compile and train a stage that needs masks alone, or go on with it.

    Args:
        model: A `LatentPosterior` or what distills one, see
            `gss_keras.direct`. `adapt_to_masks` comes first.
        source: Source of the masks, see `gss_keras.data`.
        schedule: A `Schedule`. If it has more than 500 steps, they must be a
            multiple of 500.
        crop: The `Crop` to cut out of the masks.
        folder: As for `train_stage`.
        seed: Seed of the crops, an int in `[0, 2**32)`.

    Returns:
        As `train_stage` does.

    Raises:
        As `train_stage` does.
    """
    adapt_to_masks(model, source)
    compile_stage(model, schedule)
    batches = training_batches(source, schedule, crop, seed, masks_only=True)
    watch = Watch(validate_every=_SAVE_EVERY, save_every=_SAVE_EVERY)
    return train_stage(model, batches, schedule, watch, folder)


def _verbosity():
    if not distribution.is_chief():
        return 0
    return 1 if sys.stdout.isatty() else 2


@contextlib.contextmanager
def _raising_what_reading_raised(batches):
    """Let a broken file's own error out of `fit`, whatever wrapped it."""
    try:
        yield
    except Exception:
        if batches.failure is not None:
            raise batches.failure from None
        raise
    finally:
        batches.close()
