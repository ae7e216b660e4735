"""Sliding windows: equal to the release, and covering every pixel."""

import json

import numpy as np
import pytest
from keras import ops

from gss_keras.inference.sliding_window import score_windows, window_starts
from gss_keras.ops.backend import resize_bilinear

SLIDING = ["slide_rescale", "slide_padded", "slide_small", "slide_exact"]


@pytest.fixture
def release(golden):
    with np.load(golden / "slide_inference.npz") as arrays:
        return dict(arrays)


@pytest.fixture
def toy(release):
    """The toy network of the golden file, as described in its `meta`."""

    def weight(name, axes=(0,)):
        array = release[f"sd/{name}"].transpose(axes)
        return ops.convert_to_tensor(array.copy())

    def score(photos):
        kernel = weight("backbone.conv.weight", (2, 3, 1, 0))
        photos = ops.convert_to_tensor(photos)
        x = ops.conv(photos, kernel, padding="same")
        x = x + weight("backbone.conv.bias")
        kernel = weight("decode_head.conv.weight", (2, 3, 1, 0))
        x = ops.conv(x, kernel) + weight("decode_head.conv.bias")
        x = ops.repeat(ops.repeat(x, 2, axis=1), 2, axis=2)
        width = x.shape[2]
        ramp = ops.arange(width, dtype="float32") * 2 / width
        x = x * (1 + 0.25 * ramp)[:, None]
        return ops.convert_to_numpy(resize_bilinear(x, *photos.shape[1:3]))

    return score


@pytest.mark.parametrize("case", SLIDING)
def test_logits_equal_the_release(release, toy, case):
    geometry = json.loads(str(release["meta"]))["config"][case]
    photos = release[f"in/{case}/image"].transpose(0, 2, 3, 1)
    logits = score_windows(toy, photos, geometry["crop"], geometry["stride"])
    expected = release[f"out/{case}/logits_raw"].transpose(0, 2, 3, 1)
    np.testing.assert_allclose(logits, expected, atol=1e-4 * expected.std())

    height, width = geometry["img"]
    resized = resize_bilinear(
        ops.convert_to_tensor(logits[:, :height, :width]), *geometry["ori"]
    )
    expected = release[f"out/{case}/logits_rescaled"].transpose(0, 2, 3, 1)
    resized = ops.convert_to_numpy(resized)
    np.testing.assert_allclose(resized, expected, atol=1e-4 * expected.std())
    # Only pixels with a clear margin between the best two logits are compared.
    best_two = np.sort(expected, axis=-1)[..., -2:]
    is_clear = best_two[..., 1] - best_two[..., 0] > 1e-3 * expected.std()
    masks = resized.argmax(-1)
    np.testing.assert_array_equal(
        masks[is_clear], release[f"out/{case}/pred"][None][is_clear]
    )


@pytest.mark.parametrize("case", SLIDING)
def test_positions_of_windows_equal_the_release(release, case):
    geometry = json.loads(str(release["meta"]))["config"][case]
    height, width = geometry["size"]
    window_height, window_width = geometry["crop"]
    down, right = geometry["stride"]
    found = [
        (
            top,
            min(top + window_height, height),
            left,
            min(left + window_width, width),
        )
        for top in window_starts(height, window_height, down)
        for left in window_starts(width, window_width, right)
    ]
    expected = release[f"out/{case}/windows_y1y2x1x2"]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("size", [(1, 1), (7, 64), (64, 65), (50, 31)])
def test_average_of_identical_windows(size):
    photos = np.random.default_rng(0).random((2, *size, 3), "float32")
    scores = score_windows(lambda crops: crops, photos, (16, 24), (11, 24))
    np.testing.assert_allclose(scores, photos, atol=1e-6)


@pytest.mark.parametrize(
    ("window", "stride", "message"),
    [
        ((8,), (4, 4), "`window` must be two positive ints"),
        ((8, 0), (4, 4), "`window` must be two positive ints"),
        ((8, 8), (4, 1.5), "`stride` must be two positive ints"),
        ((8, 8), (9, 8), "`stride` must not exceed `window`"),
    ],
)
def test_malformed_windows_are_errors(window, stride, message):
    with pytest.raises(ValueError, match=message):
        score_windows(lambda x: x, np.zeros((1, 9, 9, 3)), window, stride)
