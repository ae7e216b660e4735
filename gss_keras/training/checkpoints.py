"""Checkpoints that resume a training exactly."""

import json
import pathlib
import shutil

import numpy as np
from keras import ops

from gss_keras.saving.whole_folder import remove_partial, whole_folder

_ARRAYS, _RECORD = "state.npz", "progress.json"


class Checkpoints:
    """Save and restore the checkpoints of one training, each in a subfolder.

    A checkpoint contains every variable that training changes: weights, batch
    statistics, the RNG state of each dropout layer, and the optimizer's step,
    moments, weight averages and accumulated gradients. The position in the
    data follows from the step. A resumed training is thus identical to one
    without interruption.

    Keras' `BackupAndRestore` is no alternative, since it omits the RNG state
    and overwrites its only file in place; nor is `OrbaxCheckpoint`, which
    needs JAX on every backend, saves the frozen tokenizer each time and has
    no method to restore.

    Args:
        folder: Path of the folder.
        recent: Number of latest checkpoints to keep, in addition to the one
            with the best score.

    Raises:
        OSError: If the folder cannot be written.
    """

    def __init__(self, folder, recent=2):
        self.folder = pathlib.Path(folder)
        self.recent = recent
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_partial(self.folder)

    def save(self, model, progress):
        """Write a checkpoint atomically, then remove superseded ones.

        Args:
            model: A compiled stage with a built optimizer.
            progress: JSON-serializable dict with `step`, an int, and `score`,
                a float, higher being better, or None.

        Raises:
            OSError: If it cannot be written, for instance because the disk is
                full. All earlier checkpoints are then preserved.
        """
        variables = _state(model)
        record = {
            "progress": progress,
            "variables": [variable.path for variable in variables],
            "shapes": [list(variable.shape) for variable in variables],
        }
        path = self._path(progress["step"])
        try:
            with whole_folder(path) as partial:
                arrays = {
                    str(index): _as_array(variable)
                    for index, variable in enumerate(variables)
                }
                np.savez(partial / _ARRAYS, **arrays)
                (partial / _RECORD).write_text(json.dumps(record, indent=1))
        except OSError as error:
            raise OSError(
                f"The checkpoint {path} could not be written ({error}). Latest "
                f"intact checkpoint: {self._describe_latest()}. Free disk "
                "space and run the same command again to resume from it."
            ) from error
        self._remove_superseded()

    def latest(self):
        """Return the progress of the latest checkpoint, or None."""
        steps = self._steps()
        return self._progress(steps[-1]) if steps else None

    def restore(self, model, best=False):
        """Load a checkpoint into a model.

        Args:
            model: The same compiled stage, with a built optimizer.
            best: Whether to load the checkpoint with the best score instead
                of the latest.

        Returns:
            The `progress` it was saved with, or None without a checkpoint.

        Raises:
            ValueError: If the checkpoint belongs to another model or
                optimizer.
        """
        steps = self._steps()
        if not steps:
            return None
        step = steps[-1]
        if best:
            step = max(steps, key=lambda s: (self._score(s), s))
        path = self._path(step)
        record = json.loads((path / _RECORD).read_text())
        variables, shapes = _state(model), record["shapes"]
        if shapes != [list(variable.shape) for variable in variables]:
            raise ValueError(
                f"{path} is a checkpoint of another model or optimizer: it "
                f"has {len(shapes)} variables and this training "
                f"{len(variables)}, or their shapes differ. Use the settings "
                "it was saved with, or another output folder."
            )
        with np.load(path / _ARRAYS) as arrays:
            for index, variable in enumerate(variables):
                variable.assign(arrays[str(index)])
        return record["progress"]

    def _path(self, step):
        return self.folder / f"step_{step:09}"

    def _steps(self):
        paths = self.folder.glob(f"step_*/{_RECORD}")
        return sorted(int(path.parent.name.split("_")[1]) for path in paths)

    def _progress(self, step):
        text = (self._path(step) / _RECORD).read_text()
        return json.loads(text)["progress"]

    def _score(self, step):
        score = self._progress(step)["score"]
        return -np.inf if score is None else score

    def _remove_superseded(self):
        steps = self._steps()
        best = max(steps, key=lambda step: (self._score(step), step))
        for step in steps[: -self.recent]:
            if step != best:
                shutil.rmtree(self._path(step))

    def _describe_latest(self):
        steps = self._steps()
        return f"step {steps[-1]}" if steps else "none"


def _state(model):
    """List the variables that training changes: model, then optimizer."""
    return [*model.training_state(), *model.optimizer.variables]


def _as_array(variable):
    # On several TensorFlow devices, some variables are distributed values.
    array = ops.convert_to_numpy(ops.convert_to_tensor(variable))
    # NumPy files do not support bfloat16.
    return array.astype("float32") if array.dtype.kind == "V" else array
