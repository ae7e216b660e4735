import numpy as np
import pytest

from gss_keras.tokenizer.shape_codes import (
    OWN,
    ShapeCodes,
    count_shapes,
    lattice_colors,
)


def test_minimum_distance_of_lattice_colors():
    colors = 255 * lattice_colors((6, 6, 9))
    assert colors.shape == (162, 3)
    assert colors.min() == 0 and colors.max() == 255
    distances = np.linalg.norm(colors[:, None] - colors[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert distances.min() == pytest.approx(60.1, abs=0.1)


def map_around(patch):
    """Return a map of a patch between uniform neighbors."""
    left, right = patch[:, :1], patch[:, -1:]
    row = np.concatenate(
        [left[:1].repeat(4, 1).repeat(4, 0), patch,
         right[:1].repeat(4, 1).repeat(4, 0)], axis=1
    )  # fmt: skip
    return np.pad(row, ((4, 4), (0, 0)), constant_values=99)


def test_an_outline_copies_from_left_and_right():
    patch = np.array([[1, 2, 2, 2]] * 4)
    outlines, _ = count_shapes([map_around(patch)] * 3 + [stroke_map()], 1, 1)
    np.testing.assert_array_equal(outlines, [[0, 1, 1, 1] * 4])


def stroke_map():
    regions = np.full((12, 12), 1)
    regions[:, 5:7] = 2
    return regions


def test_a_stroke_has_a_color_of_its_own():
    patch = np.array([[1, 2, 2, 2]] * 4)
    _, strokes = count_shapes([stroke_map(), map_around(patch)], 1, 1)
    shape = strokes.reshape(4, 4)
    assert (shape[:, 1:3] == OWN).all()
    assert (shape[:, [0, 3]] < OWN).all()


def test_the_outline_that_saves_most_wrong_pixels_is_first():
    frequent = map_around(np.array([[1, 1, 2, 2]] * 4))
    rare = map_around(np.array([[1, 1, 1, 2]] * 4))
    maps = [rare, frequent, frequent, stroke_map()]
    outlines, _ = count_shapes(maps, 2, 1)
    np.testing.assert_array_equal(outlines[0], [0, 0, 1, 1] * 4)
    np.testing.assert_array_equal(outlines[1], [0, 0, 0, 1] * 4)


def test_length_is_the_codebook_size():
    codes = ShapeCodes(
        colors=np.zeros((5, 3)),
        outlines=np.zeros((3, 16), int),
        strokes=np.zeros((2, 16), int),
        stroke_colors=np.zeros((4, 3)),
    )
    assert len(codes) == 5 + 3 + 2 * 4
