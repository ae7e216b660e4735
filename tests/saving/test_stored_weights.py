import h5py
import numpy as np
import pytest
from tiny import tiny_data, tiny_prior, tiny_tokenizer

import gss_keras
from gss_keras.saving.stored_weights import expanded, to_int8


@pytest.mark.any_backend
def test_int8_has_one_scale_per_filter():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 8, 5))
    kernel *= 10.0 ** np.arange(-4, 1)
    values, scale = to_int8(kernel)
    assert values.dtype == "int8" and scale.shape == (1, 1, 1, 5)
    largest = np.abs(kernel).max(axis=(0, 1, 2))
    errors = np.abs(values * scale - kernel).max(axis=(0, 1, 2))
    assert (errors <= largest / 254 * 1.0001).all()


@pytest.mark.any_backend
def test_int8_has_one_scale_per_channel_of_a_depthwise_kernel():
    kernel = np.array([1.0, 1e-3, 0.0])[None, None, :, None]
    values, scale = to_int8(np.repeat(kernel, 3, axis=0))
    assert scale.shape == (1, 1, 3, 1)
    np.testing.assert_array_equal(values[0, 0, :, 0], [127, 127, 0])
    np.testing.assert_allclose(values[:1] * scale, kernel, rtol=1e-6)


def test_features_of_a_preset_stored_in_int8(tmp_path):
    segmenter = gss_keras.GenerativeSegmenter(tiny_prior())
    sizes = {}
    for dtype in (None, "float16", "int8"):
        segmenter.save_to_preset(tmp_path / str(dtype), dtype=dtype)
        with h5py.File(tmp_path / str(dtype) / "model.weights.h5") as file:
            sizes[dtype] = kernel_bytes(file)
    assert sizes["int8"] < 0.3 * sizes[None]
    loaded = gss_keras.GenerativeSegmenter.from_preset(tmp_path / "int8")
    photos = tiny_data()[0]
    features = segmenter.prior.predict(photos, verbose=0)["features"]
    stored = loaded.prior.predict(photos, verbose=0)["features"]
    error = np.abs(stored - features).max()
    assert 0 < error < 0.05 * np.abs(features).max()
    for ours, theirs in zip(
        segmenter.get_weights(), loaded.get_weights(), strict=True
    ):
        assert theirs.dtype == ours.dtype
        if ours.ndim < 2:
            np.testing.assert_array_equal(theirs, ours)


def kernel_bytes(file):
    sizes = []
    file.visititems(
        lambda _, item: (
            sizes.append(getattr(item, "nbytes", 0))
            if getattr(item, "ndim", 0) > 1
            else None
        )
    )
    return sum(sizes)


def test_only_int8_files_are_expanded(tmp_path):
    tiny_tokenizer().save_to_preset(tmp_path / "whole")
    path = tmp_path / "whole" / "model.weights.h5"
    with expanded(path) as read:
        assert read == path
    tiny_tokenizer().save_to_preset(tmp_path / "small", dtype="int8")
    with expanded(tmp_path / "small" / "model.weights.h5") as read:
        assert read.is_file() and read.parent != tmp_path / "small"
        with h5py.File(read) as file:
            assert "scales" not in file
    assert not read.exists()
