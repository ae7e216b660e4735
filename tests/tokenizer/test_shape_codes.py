import numpy as np
import pytest

from gss_keras.tokenizer.shape_codes import (
    OWN,
    ShapeCodes,
    count_shapes,
    lattice_colors,
)


def test_lattice_colors_are_far_apart():
    colors = 255 * lattice_colors((6, 6, 9))
    assert colors.shape == (162, 3)
    assert colors.min() == 0 and colors.max() == 255
    distances = np.linalg.norm(colors[:, None] - colors[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert distances.min() == pytest.approx(60.1, abs=0.1)


def map_of(square):
    """Surround a square by what its left and right columns show."""
    left, right = square[:, :1], square[:, -1:]
    row = np.concatenate(
        [left[:1].repeat(4, 1).repeat(4, 0), square,
         right[:1].repeat(4, 1).repeat(4, 0)], axis=1
    )  # fmt: skip
    return np.pad(row, ((4, 4), (0, 0)), constant_values=99)


def test_counted_outline_copies_left_and_right():
    square = np.array([[1, 2, 2, 2]] * 4)
    outlines, _ = count_shapes([map_of(square)] * 3 + [stroke_map()], 1, 1)
    np.testing.assert_array_equal(outlines, [[0, 1, 1, 1] * 4])


def stroke_map():
    regions = np.full((12, 12), 1)
    regions[:, 5:7] = 2
    return regions


def test_counted_stroke_has_a_color_of_its_own():
    square = np.array([[1, 2, 2, 2]] * 4)
    _, strokes = count_shapes([stroke_map(), map_of(square)], 1, 1)
    shape = strokes.reshape(4, 4)
    assert (shape[:, 1:3] == OWN).all()
    assert (shape[:, [0, 3]] < OWN).all()


def test_most_sparing_outline_comes_first():
    often = map_of(np.array([[1, 1, 2, 2]] * 4))
    seldom = map_of(np.array([[1, 1, 1, 2]] * 4))
    maps = [seldom, often, often, stroke_map()]
    outlines, _ = count_shapes(maps, 2, 1)
    np.testing.assert_array_equal(outlines[0], [0, 0, 1, 1] * 4)
    np.testing.assert_array_equal(outlines[1], [0, 0, 0, 1] * 4)


def test_length_counts_every_token():
    codes = ShapeCodes(
        colors=np.zeros((5, 3)),
        outlines=np.zeros((3, 16), int),
        strokes=np.zeros((2, 16), int),
        stroke_colors=np.zeros((4, 3)),
    )
    assert len(codes) == 5 + 3 + 2 * 4
