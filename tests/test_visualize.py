import numpy as np
import pytest
from PIL import Image

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
