"""Keep everything that a training needs to go on exactly as it was."""

import json
import pathlib
import shutil

import numpy as np
from keras import ops

from gss_keras.saving.whole_folder import remove_partial, whole_folder

_ARRAYS, _RECORD = "state.npz", "progress.json"


class Checkpoints:
    """A folder of checkpoints of one training, one subfolder for each.

    A checkpoint holds every variable that the training changes: weights,
    batch statistics, the random state of each dropout, and the optimizer's
    step, moments, averages and accumulated gradients. Together with the
    position in the data, which follows from the step, the training continues
    as if it had never stopped.

    It is ours because Keras' `BackupAndRestore` leaves out the random state
    and overwrites its only file in place, and `OrbaxCheckpoint` needs JAX on
    every backend, saves the frozen tokenizer each time and does not load.

    Args:
        folder: Path of the folder.
        recent: Number of the latest checkpoints to keep. The one of the best
            score is kept besides.

    Raises:
        OSError: If the folder cannot be written.
    """

    def __init__(self, folder, recent=2):
        self.folder = pathlib.Path(folder)
        self.recent = recent
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_partial(self.folder)

    def save(self, model, progress):
        """Write a checkpoint, whole or not at all; then remove older ones.

        Args:
            model: A compiled stage with a built optimizer.
            progress: JSON-serializable dict with `step`, an int, and `score`,
                a float, higher being better, or None.

        Raises:
            OSError: If it cannot be written, for instance since the disk is
                full. The earlier checkpoints are all there then.
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
                f"The checkpoint {path} could not be written ({error}). What "
                f"was saved before is whole: {self._describe()}. Make room "
                "and run the same command again to go on from there."
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
            best: Whether to load that of the best score, not the latest.

        Returns:
            The `progress` it was saved with, or None if there is none.

        Raises:
            ValueError: If the checkpoint is of another model.
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
                f"has {len(shapes)} variables, this training "
                f"{len(variables)}, or their shapes differ. Use the settings "
                "it was made with, or another output folder."
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

    def _describe(self):
        steps = self._steps()
        return f"step {steps[-1]}" if steps else "no step yet"


def _state(model):
    """List what a training changes: of the model, then of its optimizer."""
    return [*model.training_state(), *model.optimizer.variables]


def _as_array(variable):
    # On several devices of TensorFlow, some variables are no arrays.
    array = ops.convert_to_numpy(ops.convert_to_tensor(variable))
    # NumPy's files know no bfloat16.
    return array.astype("float32") if array.dtype.kind == "V" else array
