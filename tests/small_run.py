"""A small training as a process of its own, which may kill itself.

    python small_run.py FOLDER [POINT COUNT]

trains in FOLDER and writes its final weights there. With POINT it kills itself
the COUNT-th time it gets there: "batch", after a batch; "write", with half of a
checkpoint's array file written; "rename", with a whole checkpoint written that
is not in its place yet.
"""

import os
import pathlib
import signal
import sys

import keras
import numpy as np
from keras import ops
from tiny import tiny_data, tiny_prior

from gss_keras import data, training, whole_folder

SCHEDULE = training.Schedule(
    6, 1e-2, batch_size=4, warmup_steps=1, accumulate=2, ema=0.9
)
WATCH = training.Watch(validate_every=4, save_every=2)


class Memory:
    """A source of tiny photos and masks."""

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
    """Train and return the model and its curve."""
    prior = prior or build()
    rows = training.train_stage(
        prior, batches, SCHEDULE, WATCH, folder, validate
    )
    return prior, rows


def kill_at(point, count):
    """Arrange for this process to be killed at a point."""
    left = [count]

    def reached():
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    savez, put_in_place = np.savez, whole_folder._put_in_place
    if point == "batch":
        end = training.Rounds.on_train_batch_end

        def on_train_batch_end(self, batch, logs=None):
            reached()
            end(self, batch, logs)

        training.Rounds.on_train_batch_end = on_train_batch_end
    elif point == "write":

        def half(path, **arrays):
            savez(path, **arrays)
            if left[0] == 1:
                os.truncate(path, os.path.getsize(path) // 2)
            reached()

        np.savez = half
    else:

        def late(partial, folder):
            reached()
            put_in_place(partial, folder)

        whole_folder._put_in_place = late


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    if len(sys.argv) > 2:
        kill_at(sys.argv[2], int(sys.argv[3]))
    model, _ = train(folder)
    np.savez(
        folder / "final.npz",
        *(ops.convert_to_numpy(v) for v in model.training_state()),
    )
