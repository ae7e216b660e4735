import json
import os
import pathlib
import subprocess
import sys
import types

import keras
import numpy as np
import pytest
import train_on_devices

from gss_keras import data, distribution
from gss_keras.data import batches
from gss_keras.distribution import gradients

BACKEND = keras.backend.backend()
SCRIPT = pathlib.Path(train_on_devices.__file__)
torch_only = pytest.mark.skipif(BACKEND != "torch", reason="needs PyTorch")
jax_only = pytest.mark.skipif(BACKEND != "jax", reason="needs JAX")


def on_two_devices(function, output, **settings):
    """Run a function of the script on two devices, in new processes."""
    settings = json.dumps({"output": str(output), "devices": 2, **settings})
    command = [sys.executable]
    if BACKEND == "torch":
        command += ["-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node", "2"]
    flags = "--xla_force_host_platform_device_count=2"
    path = os.pathsep.join([str(SCRIPT.parent), str(SCRIPT.parents[1])])
    result = subprocess.run(
        [*command, str(SCRIPT), function, settings],
        env={
            **os.environ,
            "KERAS_BACKEND": BACKEND,
            "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}",
            "PYTHONPATH": path,
        },
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-4000:]


def reports(output):
    paths = sorted(output.parent.glob(f"{output.name}.?.json"))
    return [json.loads(path.read_text()) for path in paths]


def arrays(output, index=0):
    return dict(np.load(f"{output}.{index}.npz"))


def assert_arrays_equal(one, two, tolerance):
    assert set(one) == set(two)
    for name in one:
        np.testing.assert_allclose(
            two[name], one[name], atol=tolerance, rtol=tolerance, err_msg=name
        )


def on_one_and_two(function, folder, model_devices=None, **settings):
    """Run on one and two devices with the same initial weights.

    Returns:
        The prefixes of the output files of both runs.
    """
    one, two = folder / "one", folder / "two"
    getattr(train_on_devices, function)(str(one), **settings)
    if model_devices:
        settings["model_devices"] = model_devices
    on_two_devices(function, two, weights=f"{one}.weights.h5", **settings)
    assert len(reports(two)) == (2 if BACKEND == "torch" else 1)
    for index in range(1, len(reports(two))):
        assert_arrays_equal(arrays(two), arrays(two, index), 0.0)
    return one, two


def assert_same_losses(one, two):
    for report in reports(two):
        for name in ("loss", "token_loss", "pixel_loss"):
            np.testing.assert_allclose(
                report["history"][name], reports(one)[0]["history"][name], 1e-5
            )


def assert_each_photo_read_once(two, count):
    read = [tuple(photo) for report in reports(two) for photo in report["seen"]]
    # TensorFlow infers shapes from some batches before the first epoch.
    read = [photo for photo in read if photo[0] > 0]
    expected = [(epoch, i) for epoch in (1, 2) for i in range(count)]
    assert sorted(read) == expected


def test_training_on_two_devices_equals_one(tmp_path):
    one, two = on_one_and_two("train_prior", tmp_path)
    assert_same_losses(one, two)
    # Reversing the order within batches on one device has effects as large.
    assert_arrays_equal(arrays(one), arrays(two), 1e-4)
    assert_each_photo_read_once(two, count=8)
    chiefs = [report["is_chief"] for report in reports(two)]
    assert chiefs == [True, False][: len(chiefs)]
    seeds = [tuple(report["seed"]) for report in reports(two)]
    assert len(set(seeds)) == len(seeds)


@pytest.mark.slow
def test_a_last_batch_of_odd_size(tmp_path):
    one, two = on_one_and_two("train_prior", tmp_path, count=7)
    assert_each_photo_read_once(two, count=7)
    # On JAX, the padding of the batch contributes to batch statistics.
    if BACKEND != "jax":
        assert_arrays_equal(arrays(one), arrays(two), 1e-4)
    # The history of each PyTorch process weights batches by its shard's size.
    if BACKEND == "tensorflow":
        assert_same_losses(one, two)
    assert np.isfinite(reports(two)[0]["history"]["loss"]).all()


@pytest.mark.slow
def test_evaluating_on_two_devices_equals_one(tmp_path):
    one, two = on_one_and_two("score_prior", tmp_path)
    np.testing.assert_array_equal(arrays(one)["masks"], arrays(two)["masks"])
    assert np.unique(arrays(one)["masks"]).size > 1
    expected = reports(one)[0]
    for scores in reports(two):
        assert scores.pop("confusion") == expected["confusion"]
        for method in scores:
            for name in ("mIoU", "mAcc", "pixel_accuracy"):
                assert scores[method][name] == pytest.approx(
                    expected[method][name], abs=1e-4
                )


@jax_only
@pytest.mark.slow
def test_model_parallel_training_equals_one_device(tmp_path):
    one, two = on_one_and_two("train_prior", tmp_path, model_devices=2)
    kernels = ["attention/query_key_value", "attention/projection"]
    kernels += ["expand", "reduce"]
    sharded = [f"block_{i}/{name}/kernel" for i in (0, 1) for name in kernels]
    sharded += ["projection/convolution/kernel", "vocabulary/kernel"]
    assert reports(two)[0]["sharded"] == sharded
    assert_same_losses(one, two)
    assert_arrays_equal(arrays(one), arrays(two), 1e-4)


@torch_only
def test_optimizers_apply_the_mean_gradient(tmp_path):
    train_on_devices.train_mlps(str(tmp_path / "one"))
    on_two_devices("train_mlps", tmp_path / "two")
    for name in ("adamw", "scaled"):
        single, first, second = (
            keras.saving.load_model(tmp_path / f"{path}.keras")
            for path in (f"one.{name}.0", f"two.{name}.0", f"two.{name}.1")
        )
        assert first.optimizer.get_config() == single.optimizer.get_config()
        for model, tolerance in ((single, 1e-6), (second, 0.0)):
            variables = [*model.weights, *model.optimizer.variables]
            expected = [*first.weights, *first.optimizer.variables]
            for variable, other in zip(variables, expected, strict=True):
                np.testing.assert_allclose(
                    keras.ops.convert_to_numpy(variable),
                    keras.ops.convert_to_numpy(other),
                    atol=tolerance,
                    err_msg=f"{name} {variable.path}",
                )


@pytest.mark.any_backend
@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("drop_remainder", [False, True])
def test_shards_partition_each_batch(count, drop_remainder):
    source = train_on_devices.Photos(11)
    options = {"shuffle": True, "seed": 3, "drop_remainder": drop_remainder}
    whole = batches(source, 4, **options)
    shards = [
        batches(source, 4, **options, shard=(i, count)) for i in range(count)
    ]
    for _ in range(2):
        for batch, *parts in zip(whole, *shards, strict=True):
            labeled = [
                (photos[i], masks[i])
                for photos, masks in parts
                for i in range(len(photos))
                if (masks[i] != 255).any()
            ]
            assert len(labeled) == len(batch[0])
            for (photo, mask), *expected in zip(labeled, *batch, strict=True):
                np.testing.assert_array_equal(photo, expected[0])
                np.testing.assert_array_equal(mask, expected[1])
            sizes = [len(photos) for photos, _ in parts]
            assert min(sizes) > 0
            assert max(sizes) - min(sizes) <= 1


@pytest.mark.any_backend
def test_batches_are_padded_with_ignored_photos():
    source = train_on_devices.Photos(5)
    padded = batches(source, 4, shard=(None, 3))
    assert [len(photos) for photos, _ in padded] == [6, 3]
    photos, masks = padded[1]
    np.testing.assert_array_equal(photos, np.stack([source.photos[4]] * 3))
    np.testing.assert_array_equal(masks[0], source.masks[4])
    assert (masks[1:] == 255).all()


@pytest.mark.any_backend
def test_shards_with_worker_processes():
    source = train_on_devices.Photos(5)
    expected_batches = batches(source, 4, shard=(2, 3))
    found = batches(source, 4, shard=(2, 3), workers=1)
    for (photos, masks), expected in zip(found, expected_batches, strict=True):
        np.testing.assert_array_equal(photos, expected[0])
        np.testing.assert_array_equal(masks, expected[1])
    found.close()


@pytest.mark.any_backend
@pytest.mark.parametrize("shard", [(2, 2), (-1, 2), (0, 0), (None, 0.5)])
def test_malformed_shards_are_errors(shard):
    with pytest.raises(ValueError, match=r"`shard.*Received: shard"):
        data.batches(train_on_devices.Photos(4), 2, shard=shard)


def test_one_device():
    assert distribution.data_parallel() == distribution.data_parallel(1) == 1
    assert distribution.is_chief() is True
    assert distribution.shard() is None
    distribution.wait_for_all()
    optimizer = keras.optimizers.SGD()
    assert distribution.average_gradients(optimizer) is optimizer
    assert "apply" not in vars(optimizer)
    photos = np.zeros((3, 4, 4, 3))
    assert distribution.pad_to_devices(photos, None, 2) == (photos, None, 2)
    mean = distribution.shared_mean(keras.ops.ones(()) * 3, keras.ops.ones(()))
    assert float(mean) == 3.0


def test_more_devices_than_available_are_errors():
    message = {
        "torch": "torchrun --nproc-per-node 7.*Received: num_devices=7",
        "jax": "devices that jax shows, 1.*Received: num_devices=7",
        "tensorflow": "tensorflow shows, 1.*Received: num_devices=7",
    }
    with pytest.raises(ValueError, match=message[BACKEND]):
        distribution.data_parallel(7)
    if BACKEND == "jax":
        with pytest.raises(ValueError, match="Received: model_devices=3 of 1"):
            distribution.model_parallel(3)
    else:
        with pytest.raises(ValueError, match=f"Received: backend={BACKEND}"):
            distribution.model_parallel(2)


@pytest.mark.any_backend
def test_gradient_accumulation_on_tensorflow_devices_is_an_error():
    model = types.SimpleNamespace(
        distribute_strategy=types.SimpleNamespace(num_replicas_in_sync=2),
        optimizer=keras.optimizers.SGD(gradient_accumulation_steps=3),
    )
    with pytest.raises(ValueError, match="JAX or PyTorch.*_steps=3"):
        distribution.synchronize_devices(model)


@torch_only
def test_gradients_are_all_reduced_in_buckets(monkeypatch):
    monkeypatch.setattr(gradients, "_BUCKET", 10)
    shapes = [(2, 3), (4,), (1,), (20,), (3,)]
    grads = [keras.ops.ones(shape) for shape in shapes]
    grads.insert(2, None)
    grads.append(keras.ops.ones((2,), "float16"))
    assert gradients._buckets(grads) == [[0, 1], [3], [4], [5], [6]]
    means = gradients._mean_over_replicas(grads)
    assert means[2] is None
    for mean, grad in zip(means, grads, strict=True):
        if grad is not None:
            assert mean.shape == grad.shape
            assert mean.dtype == grad.dtype
