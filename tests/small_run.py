"""A small training in a separate process, which may kill itself.

    python small_run.py FOLDER [POINT COUNT]

trains in FOLDER and writes the final weights there. It kills itself the
COUNT-th time that it reaches POINT: "batch", after a batch; "write", with half
of a checkpoint's array file written; "rename", with a complete checkpoint
written, but not yet renamed.
"""

import os
import pathlib
import signal
import sys

import keras
import numpy as np
from keras import ops
from tiny import tiny_data, tiny_prior

from gss_keras import data, training
from gss_keras.saving import whole_folder

SCHEDULE = training.Schedule(
    6, 1e-2, batch_size=4, warmup_steps=1, accumulate=2, ema=0.9
)
WATCH = training.Watch(validate_every=4, save_every=2)


class Memory:
    """In-memory source of tiny photos and masks."""

    def __init__(self, count=7):
        self.photos, self.masks = tiny_data(count)

    def __len__(self):
        return len(self.photos)

    def __getitem__(self, index):
        photo, mask = self.photos[index], self.masks[index]
        return {"photo": photo, "mask": mask, "name": str(index)}


def batches(steps):
    return data.batches(
        Memory(), 2, seed=1, shuffle=True, repeat=True, steps=steps
    )


def build(schedule=SCHEDULE):
    keras.utils.set_random_seed(3)
    prior = tiny_prior(depth=1, dropout=0.5)
    training.compile_stage(prior, schedule)
    return prior


def train(folder, prior=None, validate=lambda step: {"val_mIoU": -step}):
    """Train; return the model and the rows of its curve."""
    prior = prior or build()
    rows = training.train_stage(
        prior, batches, SCHEDULE, WATCH, folder, validate
    )
    return prior, rows


def kill_at(point, count):
    """Patch the training to kill this process at a point."""
    remaining = [count]

    def reached():
        remaining[0] -= 1
        if not remaining[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    savez, put_in_place = np.savez, whole_folder._put_in_place
    if point == "batch":
        end = training.Rounds.on_train_batch_end

        def on_train_batch_end(self, batch, logs=None):
            reached()
            end(self, batch, logs)

        training.Rounds.on_train_batch_end = on_train_batch_end
    elif point == "write":

        def savez_half(path, **arrays):
            savez(path, **arrays)
            if remaining[0] == 1:
                os.truncate(path, os.path.getsize(path) // 2)
            reached()

        np.savez = savez_half
    else:

        def put_in_place_or_die(partial, folder):
            reached()
            put_in_place(partial, folder)

        whole_folder._put_in_place = put_in_place_or_die


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    if len(sys.argv) > 2:
        kill_at(sys.argv[2], int(sys.argv[3]))
    model, _ = train(folder)
    np.savez(
        folder / "final.npz",
        *(ops.convert_to_numpy(v) for v in model.training_state()),
    )
