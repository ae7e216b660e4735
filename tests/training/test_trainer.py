import csv
import json
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import small_run
from keras import ops
from small_run import SCHEDULE, WATCH, Memory, batches, build, train

from gss_keras import data, training


def values(model):
    return [ops.convert_to_numpy(v) for v in model.training_state()]


def assert_equal(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def run(*arguments):
    return subprocess.run(
        [sys.executable, small_run.__file__, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_killed_training_resumes_exactly(tmp_path):
    generator = np.random.default_rng(0)
    uninterrupted, killed = tmp_path / "uninterrupted", tmp_path / "killed"
    done = run(uninterrupted)
    assert done.returncode == 0, done.stderr
    points = [
        ("batch", generator.integers(2, 6)),
        ("write", 1),
        ("rename", 1),
        ("batch", generator.integers(1, 4)),
    ]
    # How a checkpoint is written does not depend on the backend.
    if keras.backend.backend() != "tensorflow":
        points = points[:1]
    for point, count in points:
        done = run(killed, point, count)
        assert done.returncode == -signal.SIGKILL, done.stderr
    done = run(killed)
    assert done.returncode == 0, done.stderr
    one, other = (
        list(np.load(folder / "final.npz").values())
        for folder in (uninterrupted, killed)
    )
    assert_equal(one, other)
    names = [path.name for path in (killed / "checkpoints").iterdir()]
    assert not [name for name in names if name.startswith(".")]
    curves = [(f / "curve.csv").read_text() for f in (uninterrupted, killed)]
    assert curves[0] == curves[1]


class CrashError(Exception):
    pass


def interrupt(step):  # noqa: ARG001
    raise CrashError


@pytest.mark.any_backend
def test_a_checkpoint_contains_the_rng_state(tmp_path):
    prior, _ = train(tmp_path)
    record = tmp_path / "checkpoints" / "step_000000006" / "progress.json"
    names = json.loads(record.read_text())["variables"]
    assert any("seed" in name for name in names)
    assert not any("discrete_vae" in name for name in names)
    assert len(names) == len(prior.training_state()) + len(
        prior.optimizer.variables
    )


@pytest.mark.any_backend
def test_curve_and_checkpoints(tmp_path):
    prior, rows = train(tmp_path)
    assert [row["step"] for row in rows] == [2, 4, 6]
    assert [row.get("val_mIoU") for row in rows] == [None, -4.0, None]
    with open(tmp_path / "curve.csv") as file:
        saved = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in saved] == [r["loss"] for r in rows]
    kept = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert kept == ["step_000000004", "step_000000006"]
    assert int(prior.optimizer.iterations) == 6
    # The training is finished: the same call only loads.
    again, rows_again = train(tmp_path)
    assert rows_again == rows
    assert_equal(values(again), values(prior))


@pytest.mark.any_backend
def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboardX")
    watch = training.Watch(6, 6, tensorboard=True)
    training.train_stage(build(), batches, SCHEDULE, watch, tmp_path)
    (events,) = (tmp_path / "tensorboard").iterdir()
    assert b"token_accuracy" in events.read_bytes()


@pytest.mark.any_backend
def test_an_interrupted_training_resumes_exactly(tmp_path):
    uninterrupted, _ = train(tmp_path / "uninterrupted")
    with pytest.raises(CrashError):
        train(tmp_path / "interrupted", validate=interrupt)
    resumed, rows = train(tmp_path / "interrupted")
    assert_equal(values(resumed), values(uninterrupted))
    assert [row["step"] for row in rows] == [2, 4, 6]


def test_averaged_weights_are_validated_and_saved(tmp_path):
    validated = {}

    def validate(step):
        validated[step] = values(prior)
        return {"val_mIoU": 0.0}

    prior = build()
    prior, _ = train(tmp_path, prior, validate)
    folder = tmp_path / "checkpoints" / "step_000000004"
    record = json.loads((folder / "progress.json").read_text())
    raw = np.load(folder / "state.npz")
    state = [raw[str(i)] for i in range(len(record["variables"]))]
    names = record["variables"]
    index = next(i for i, n in enumerate(names) if "projection" in n)
    average = next(
        array
        for name, array in zip(names, state, strict=True)
        if "average" in name and array.shape == state[index].shape
        and np.allclose(array, validated[4][index], atol=1e-6)
    )  # fmt: skip
    assert np.abs(average - state[index]).max() > 1e-4


@pytest.mark.any_backend
def test_the_best_checkpoint_is_kept_and_restored(tmp_path):
    scores = {1: 5.0, 2: 9.0, 3: 1.0, 4: 2.0, 5: 3.0, 6: 4.0}
    watch = training.Watch(1, 1, recent=1, best=True)
    prior = build()
    states = {}

    def validate(step):
        states[step] = values(prior)
        return {"val_mIoU": scores[step]}

    training.train_stage(prior, batches, SCHEDULE, watch, tmp_path, validate)
    kept = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert kept == ["step_000000002", "step_000000006"]
    trainable = {id(variable) for variable in prior.trainable_variables}
    for variable, array in zip(prior.training_state(), states[2], strict=True):
        if id(variable) in trainable:
            value = ops.convert_to_numpy(variable)
            np.testing.assert_allclose(value, array, atol=1e-6)


@pytest.mark.any_backend
def test_a_nan_loss_stops_the_training(tmp_path):
    prior = build()

    true_loss = prior.compute_loss

    def compute_loss(*args, **kwargs):
        return true_loss(*args, **kwargs) * np.float32("nan")

    prior.compute_loss = compute_loss
    with pytest.raises(training.DivergedError, match="clipnorm.*of step 0"):
        train(tmp_path, prior)
    assert not list((tmp_path / "checkpoints").iterdir())


@pytest.mark.any_backend
def test_a_full_disk_loses_no_checkpoint(tmp_path, monkeypatch):
    message = "No space.*intact checkpoint: step 2.*again"
    with pytest.raises(CrashError):
        train(tmp_path, validate=interrupt)

    def full(*args, **kwargs):  # noqa: ARG001
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", full)
        with pytest.raises(OSError, match=message):
            train(tmp_path)
    kept = [path.name for path in (tmp_path / "checkpoints").iterdir()]
    assert kept == ["step_000000002"]
    train(tmp_path)


def test_the_error_of_a_broken_file_is_raised_unchanged(tmp_path):
    class Broken(Memory):
        def __getitem__(self, index):
            if index == 3:
                raise ValueError("photo.png is truncated")
            return super().__getitem__(index)

    def broken(steps):
        return data.batches(Broken(), 2, repeat=True, steps=steps)

    with pytest.raises(ValueError, match="^photo.png is truncated$"):
        training.train_stage(build(), broken, SCHEDULE, WATCH, tmp_path)


@pytest.mark.any_backend
def test_a_checkpoint_of_another_model_raises(tmp_path):
    train(tmp_path)
    other = build(training.Schedule(6, 1e-2, batch_size=4))
    with pytest.raises(ValueError, match="another model or optimizer"):
        train(tmp_path, other)


@pytest.mark.any_backend
def test_steps_must_be_a_multiple_of_save_every(tmp_path):
    with pytest.raises(ValueError, match="`save_every` must divide"):
        training.train_stage(
            build(), batches, SCHEDULE, training.Watch(8, 4), tmp_path
        )


@pytest.mark.any_backend
def test_inconsistent_settings_raise():
    with pytest.raises(ValueError, match="`accumulate` must divide"):
        training.Schedule(1, 1.0, batch_size=5, accumulate=2)
    with pytest.raises(ValueError, match="`save_every` must divide"):
        training.Watch(validate_every=5, save_every=2)
    assert len(Memory()) == 7 and WATCH.save_every == 2
