"""Palettes: distances, reproducibility, validation."""

import numpy as np
import pytest

from gss_keras.maskige import palettes

pytestmark = pytest.mark.any_backend

CLASSES = {"cityscapes": 19, "ade20k": 150, "mseg": 194, "camvid": 11}
DISTANCES = {"cityscapes": 20.0, "ade20k": 20.02, "mseg": 18.68}
# Proven optima of the smallest distance, in the unit cube.
OPTIMA = {
    2: np.sqrt(3),
    3: np.sqrt(2),
    4: np.sqrt(2),
    5: np.sqrt(5) / 2,
    6: 3 * np.sqrt(2) / 4,
    8: 1.0,
    9: np.sqrt(3) / 2,
    10: 0.75,
    14: np.sqrt(2) / 2,
}


@pytest.mark.parametrize("name", CLASSES)
def test_named_palettes(name):
    palette = palettes.named(name)
    assert palette.shape == (CLASSES[name], 3)
    assert palette.dtype == "float32"
    np.testing.assert_array_equal(palette, getattr(palettes, name)())
    np.testing.assert_array_equal(palette, palettes.as_palette(name))
    assert all(0 <= value <= 255 for value in palettes.ignore_color(name))


@pytest.mark.parametrize("name", DISTANCES)
def test_smallest_distances_of_the_official_palettes(name):
    distance = palettes.smallest_distance(palettes.named(name))
    assert distance == pytest.approx(DISTANCES[name], abs=0.01)


def test_palettes_are_copies():
    palettes.camvid()[:] = 0
    palettes.maximal_distance(5)[:] = 0
    assert palettes.camvid().max() > 0
    assert palettes.maximal_distance(5).max() > 0


@pytest.mark.parametrize("num_classes", [1, 2, 19, 5000])
def test_random_palettes_are_distinct_and_reproducible(num_classes):
    palette = palettes.random(num_classes, seed=4)
    assert palette.shape == (num_classes, 3) and palette.dtype == "float32"
    assert palette.min() >= 0 and palette.max() <= 255
    assert len(np.unique(palette, axis=0)) == num_classes
    np.testing.assert_array_equal(palette, palettes.random(num_classes, 4))
    assert np.any(palette != palettes.random(num_classes, seed=5))


def test_random_palettes_are_uniform_in_the_cube():
    means = palettes.random(5000).mean(axis=0)
    np.testing.assert_allclose(means, 127.5, atol=4)


@pytest.mark.parametrize(
    ("num_classes", "least"), [(11, 181), (19, 147.4), (150, 60.1), (194, 56)]
)
def test_smallest_distances_of_stored_colors(num_classes, least):
    palette = palettes.maximal_distance(num_classes, seed=0)
    assert palette.shape == (num_classes, 3) and palette.dtype == "float32"
    assert palette.min() >= 0 and palette.max() <= 255
    assert palettes.smallest_distance(palette) >= least


@pytest.mark.parametrize("num_classes", OPTIMA)
def test_maximal_distance_is_optimal_if_the_optimum_is_known(num_classes):
    palette = palettes.maximal_distance(num_classes)
    distance = palettes.smallest_distance(palette) / 255
    assert distance == pytest.approx(OPTIMA[num_classes], abs=1e-5)


@pytest.mark.parametrize(
    ("num_classes", "num_starts", "least"),
    [(8, 8, 254.99), (19, 64, 146), (150, 1, 60), (194, 1, 52)],
)
def test_smallest_distances_of_searched_colors(num_classes, num_starts, least):
    colors = palettes.search_colors(num_classes, num_starts)
    assert colors.shape == (num_classes, 3)
    assert colors.min() >= 0 and colors.max() <= 255
    assert palettes.smallest_distance(colors) >= least


def test_maximal_distance_without_stored_colors():
    palette = palettes.maximal_distance(33)
    assert palette.shape == (33, 3)
    assert palettes.smallest_distance(palette) > 110


def test_smallest_distance_decreases_with_the_number_of_classes():
    counts = [*range(2, 33), 34, 37, 40, 60, 66, 100, 150, 171, 182, 194, 200]
    distances = [
        palettes.smallest_distance(palettes.maximal_distance(count))
        for count in counts
    ]
    assert np.all(np.diff(distances) < 0.01)


def test_seeds_permute_the_colors():
    permuted = [palettes.maximal_distance(11, seed) for seed in range(4)]
    assert len({palette.tobytes() for palette in permuted}) == 4
    assert len({np.sort(p, axis=0).tobytes() for p in permuted}) == 1


def test_palettes_are_reproducible():
    maximal = palettes.maximal_distance(4, seed=3).tolist()
    assert maximal == [[255, 255, 0], [255, 0, 255], [0, 255, 255], [0, 0, 0]]
    random = palettes.random(2, seed=3).tolist()
    assert random == [[21, 237, 26], [207, 190, 194]]
    np.random.seed(1)
    first = palettes.search_colors(7, num_starts=8)
    np.random.seed(2)
    second = palettes.search_colors(7, num_starts=8)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("function", ["random", "maximal_distance"])
@pytest.mark.parametrize("num_classes", [0, -1, 2.0, "3", None, True])
def test_invalid_numbers_of_classes_are_errors(function, num_classes):
    with pytest.raises(ValueError, match="`num_classes` must be a positive"):
        getattr(palettes, function)(num_classes)


@pytest.mark.parametrize(
    ("palette", "message"),
    [
        ("citiscapes", "did you mean 'cityscapes'"),
        ([[0, 0, 0], [1, 1, 1], [0, 0, 0]], "both class 0 and class 2"),
        ([0, 0, 0], r"shape \(3,\)"),
        ([[0, 0, 0, 0]], r"shape \(1, 4\)"),
        (np.zeros((0, 3)), r"shape \(0, 3\)"),
        ([[0, 0, 256]], "colors in 0-255"),
        ([[0, 0, -1]], "colors in 0-255"),
        ([[0, 0, np.nan]], "colors in 0-255"),
        ([[0, 0, 0], [1, 1]], "numbers only"),
        ([["red", "green", "blue"]], "numbers only"),
        (None, "Received"),
    ],
)
def test_invalid_palettes_are_errors(palette, message):
    with pytest.raises(ValueError, match=f"(?s)`palette` must .*{message}"):
        palettes.as_palette(palette)


def test_as_palette_copies():
    colors = np.eye(3, dtype="float32")
    palettes.as_palette(colors)[:] = 7
    assert colors.max() == 1


def test_saving_and_loading_a_palette(tmp_path):
    palette = palettes.random(19, 3) / 3
    palettes.save(palette, tmp_path / "new" / "colors.json")
    loaded = palettes.load(tmp_path / "new" / "colors.json")
    np.testing.assert_allclose(loaded, palette, atol=5e-4)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"colors": [[0, 0]]}'])
def test_files_without_a_palette_are_errors(text, tmp_path):
    with pytest.raises(ValueError, match="`path` must be a JSON file"):
        palettes.load(tmp_path / "absent.json")
    (tmp_path / "colors.json").write_text(text)
    with pytest.raises(ValueError, match="`path` must be a JSON file"):
        palettes.load(tmp_path / "colors.json")
