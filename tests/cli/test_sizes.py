"""Photos are padded to a few common sizes."""

import numpy as np
import pytest

from gss_keras.cli.sizes import common_sizes, pad, whole_size

pytestmark = pytest.mark.any_backend


@pytest.mark.parametrize("most", [1, 2, 4, 7])
def test_common_sizes_fit_all_photos(most):
    rng = np.random.default_rng(most)
    sizes = [tuple(map(int, rng.integers(1, 900, 2))) for _ in range(200)]
    padded = common_sizes(sizes, most)
    assert set(padded) == set(sizes)
    assert len(set(padded.values())) == most
    for size, larger in padded.items():
        assert all(a <= b for a, b in zip(size, larger, strict=True))
        assert all(side % 32 == 0 for side in larger)


def test_few_sizes_are_rounded_up_without_merging():
    sizes = [(360, 480), (360, 480), (480, 360), (33, 1)]
    assert common_sizes(sizes, 3) == {s: whole_size(s) for s in sizes}
    assert whole_size((33, 1)) == (64, 32)
    assert common_sizes([], 3) == {}


def test_sizes_with_the_least_padding_are_merged():
    sizes = [(320, 640)] * 9 + [(640, 320)] * 9 + [(352, 640)]
    padded = common_sizes(sizes, 2)
    assert padded[(320, 640)] == padded[(352, 640)] == (352, 640)
    assert padded[(640, 320)] == (640, 320)


def test_padding_repeats_the_edge_pixels():
    photo = np.arange(12, dtype="uint8").reshape(2, 2, 3)
    padded = pad(photo, (3, 4))
    np.testing.assert_array_equal(padded[:2, :2], photo)
    np.testing.assert_array_equal(padded[2, 3], photo[1, 1])
    np.testing.assert_array_equal(padded[0, 3], photo[0, 1])
