import numpy as np
import pytest
from PIL import Image
from tiny import tiny_data, tiny_posterior

from gss_keras import palettes, visualize


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_paint_gives_every_class_its_color(dtype):
    palette = palettes.camvid()
    mask = np.array([[0, 3, 10], [255, 11, 10]], dtype)
    painted = visualize.paint(mask, palette, ignore_color=(1, 2, 3))
    np.testing.assert_array_equal(painted[0], palette[[0, 3, 10]])
    np.testing.assert_array_equal(painted[1, :2], [[1, 2, 3], [1, 2, 3]])


def test_overlay_lies_between_photo_and_mask(tmp_path):
    photo = np.full((2, 2, 3), 100, "uint8")
    palette = [[0, 0, 0], [200, 200, 200]]
    mask = np.array([[0, 1], [1, 0]])
    mixed = visualize.overlay(photo, mask, palette, opacity=0.25)
    np.testing.assert_array_equal(mixed[..., 0], [[75, 125], [125, 75]])
    visualize.save(mixed, tmp_path / "mixed.png")
    np.testing.assert_array_equal(Image.open(tmp_path / "mixed.png"), mixed)


def test_reconstruction_panel_marks_exactly_the_wrong_pixels():
    posterior, masks = tiny_posterior(), tiny_data()[1]
    picture = visualize.reconstruction_panel(posterior, masks)
    count, height, width = masks.shape
    assert picture.shape[1] == 5 * (width + 4) - 4
    answers = posterior.predict(masks, verbose=0).argmax(-1)
    is_wrong = (answers != masks) & (masks != 255)
    top = picture.shape[0] - (count * (height + 4) - 4)
    first = picture[top : top + height, -width:]
    np.testing.assert_array_equal((first == (255, 0, 0)).all(-1), is_wrong[0])


def test_palette_chart_shows_every_color():
    palette = palettes.maximal_distance(13)
    chart = visualize.palette_chart(palette, [f"class {i}" for i in range(13)])
    shown = {tuple(color) for color in chart.reshape(-1, 3).tolist()}
    assert {tuple(c) for c in palette.round().astype(int).tolist()} <= shown
