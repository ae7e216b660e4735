"""Resumable training of one stage."""

import contextlib
import pathlib
import sys

from gss_keras import data, distribution
from gss_keras.training.checkpoints import Checkpoints
from gss_keras.training.optimizer import adamw
from gss_keras.training.rounds import Rounds
from gss_keras.training.settings import Watch

# Weight updates between two checkpoints of `train_on_masks`.
_SAVE_EVERY = 500


def compile_stage(model, schedule):
    """Compile a stage with the AdamW optimizer of a schedule.

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
    """Initialize a stage with the class frequencies of tokens, if it can.

    See `LatentPrior.adapt` and `DirectDecoder.adapt`.

    Args:
        model: Any stage; does nothing unless it is a `LatentPrior` with
            `pixel_branch="guiding"`, or the distillation of a decoder with a
            lookup table.
        source: Source of the masks to count in, see `gss_keras.data`.
        limit: Maximum number of masks, evenly spaced in the source.
    """
    if not model.is_adaptable:
        return
    count = min(limit, len(source))
    chosen = [i * len(source) // count for i in range(count)]
    model.adapt(source[index]["mask"] for index in chosen)


def training_batches(source, schedule, crop, seed, workers=0, masks_only=False):
    """Return a function that builds the training batches of a stage.

    Args:
        source: Source of photos and masks, see `gss_keras.data`.
        schedule: A `Schedule`.
        crop: A `Crop`, the augmentation.
        seed: Random seed of order and crops, an int in `[0, 2**32)`.
        workers: Number of worker processes for reading and augmentation.
        masks_only: Whether batches contain masks only.

    Returns:
        Callable that takes the number of batches per epoch and returns
        `Batches`, for `train_stage`.
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
    """Train a compiled stage, or resume its training.

    The state of the training is saved in `folder`. If the process is killed,
    even while it writes, another call with the same arguments resumes from the
    last checkpoint and ends with the same weights.

    Args:
        model: A compiled stage.
        batches: Callable that takes the number of batches per epoch and
            returns the `Batches` to train on; see `training_batches`.
        schedule: The `Schedule` it was compiled with.
        watch: A `Watch`.
        folder: Folder for checkpoints and `curve.csv`.
        validate: Callable that takes the step and returns a dict of scores
            with `val_mIoU`, or None.

    Returns:
        List of dicts, the rows of the training curve.

    Raises:
        ValueError: If `watch.save_every` does not divide the schedule's
            steps, or a photo or mask cannot be read.
        DivergedError: If the loss is NaN or infinite.
        OSError: If a file cannot be written.
    """
    folder = pathlib.Path(folder)
    updates = min(watch.save_every, schedule.steps)
    if schedule.steps % updates:
        raise ValueError(
            "`save_every` must divide the number of training steps, so that "
            "the last one is saved, too. Received: "
            f"save_every={watch.save_every}, steps={schedule.steps}"
        )
    rounds = schedule.steps // updates
    model.build_optimizer()
    checkpoints = Checkpoints(folder / "checkpoints", watch.recent)
    progress = checkpoints.restore(model) or {"round": 0, "rows": []}
    callback = Rounds(
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
        with _reraise_read_errors(callback.batches):
            model.fit(
                callback.batches,
                epochs=rounds,
                initial_epoch=progress["round"],
                shuffle=False,  # the batches are already shuffled
                callbacks=[callback],
                verbose=_verbosity(),
            )
    # Wait until the chief has saved the last checkpoint.
    distribution.wait_for_all()
    if watch.best and callback.validate:
        checkpoints.restore(model, best=True)
    if watch.best or progress["round"] == rounds:
        # At its end, `fit` replaces weights by their moving averages; here it
        # did not run, or the weights were restored afterwards.
        model.optimizer.finalize_variable_values(model.trainable_variables)
    return callback.rows


def train_on_masks(model, source, schedule, crop, folder, seed=0):
    """Compile and train a stage on masks only, or resume its training.

    Args:
        model: A `LatentPosterior`, `EncoderDistillation` or
            `DecoderDistillation`. It is initialized with `adapt_to_masks`.
        source: Source of the masks, see `gss_keras.data`.
        schedule: A `Schedule`. If it has more than 500 steps, they must be a
            multiple of 500.
        crop: A `Crop`, the augmentation.
        folder: Folder for checkpoints and `curve.csv`.
        seed: Random seed of the crops, an int in `[0, 2**32)`.

    Returns:
        See `train_stage`.

    Raises:
        See `train_stage`.
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
def _reraise_read_errors(batches):
    """Reraise the error of a reader, which `fit` may have wrapped."""
    try:
        yield
    except Exception:
        if batches.failure is not None:
            raise batches.failure from None
        raise
    finally:
        batches.close()
