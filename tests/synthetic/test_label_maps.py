import numpy as np
import pytest

from gss_keras.maskige import IGNORE_LABEL
from gss_keras.synthetic.label_maps import draw_label_map
from gss_keras.synthetic.label_noise import add_void, roughen, smooth_noise

pytestmark = pytest.mark.any_backend


def test_maps_are_a_function_of_the_seed():
    first = draw_label_map(3, 96, 128)
    np.testing.assert_array_equal(first, draw_label_map(3, 96, 128))
    assert (first != draw_label_map(4, 96, 128)).any()
    assert first.shape == (96, 128)
    assert first.dtype == "uint8"


def test_maps_contain_many_regions_of_all_sizes():
    maps = [draw_label_map(seed, 256, 320) for seed in range(12)]
    sizes = [
        size
        for regions in maps
        for region, size in zip(
            *np.unique(regions, return_counts=True), strict=True
        )
        if region != IGNORE_LABEL
    ]
    assert len(sizes) > 12 * 8
    assert np.mean(np.array(sizes) < 200) > 0.1
    assert np.mean(np.array(sizes) > 5000) > 0.1
    assert all((regions < 250).sum() > 0.5 * regions.size for regions in maps)


def test_maps_contain_thin_regions_and_void_pixels():
    maps = np.stack([draw_label_map(seed, 128, 128) for seed in range(20)])
    middle, left, right = maps[:, :, 3:-3], maps[:, :, :-6], maps[:, :, 6:]
    is_thin = (middle != left) & (middle != right) & (middle != IGNORE_LABEL)
    assert is_thin.mean() > 0.01
    assert 0.001 < (maps == IGNORE_LABEL).mean() < 0.2


def test_roughen_only_changes_boundaries():
    rng = np.random.default_rng(0)
    regions = np.zeros((64, 64), "uint8")
    regions[:, 32:] = 7
    rough = roughen(regions, rng)
    assert set(np.unique(rough)) == {0, 7}
    assert (rough != regions).any()
    is_near = np.abs(np.arange(64) - 31.5) < 16
    np.testing.assert_array_equal(rough[:, ~is_near], regions[:, ~is_near])


def test_add_void_adds_no_other_ids():
    regions = np.zeros((64, 64), "uint8")
    regions[20:40] = 3
    maps = [add_void(regions, np.random.default_rng(i)) for i in range(10)]
    assert set(np.unique(maps)) == {0, 3, IGNORE_LABEL}


@pytest.mark.parametrize("cell", [2, 8, 100])
def test_smooth_noise_has_unit_variance(cell):
    noise = smooth_noise(np.random.default_rng(0), 40, 60, cell)
    assert noise.shape == (40, 60)
    assert noise.std() == pytest.approx(1, abs=1e-3)
