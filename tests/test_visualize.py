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


@pytest.mark.parametrize("count", [2, 11, 60, 194])
def test_a_confusion_matrix_shows_shares_of_the_true_class(count):
    # Everything right, but class 1 is taken for class 0 and the last class
    # has no pixels.
    confusion = 1000 * np.eye(count, count + 1, dtype="int64")
    confusion[1] = 0
    confusion[1, 0] = 7
    names = [f"a class with number {i}" for i in range(count)]
    confusion[-1] = 0 if count > 2 else confusion[-1]
    picture = visualize.confusion_matrix(confusion, names)
    # Corners of cells are free of text: their lower right one ends at the
    # picture's lower right.
    cell = int(np.clip(900 // count, 12, 44))
    corners = picture[::-1, ::-1][1::cell, 1::cell][:count, :count]
    corners = corners[::-1, ::-1].astype(int)
    darkest = corners.sum(-1) == corners.sum(-1).min()
    expected = confusion[:, :count] > 0
    np.testing.assert_array_equal(darkest, expected)
    if count > 2:
        assert len(np.unique(corners[-1], axis=0)) == 1
        assert corners[-1].sum(-1).max() < 3 * 255
        # Names take the same room on both sides.
        margin = picture.shape[0] - count * cell - 1
        assert picture.shape[1] == picture.shape[0]
        assert margin > cell and (picture[:margin, :margin] == 255).all()


def test_what_was_none_of_the_classes_gets_a_column():
    confusion = np.array([[5, 0, 0], [0, 5, 0]])
    picture = visualize.confusion_matrix(confusion)
    confusion[0, 2] = 5
    wider = visualize.confusion_matrix(confusion)
    assert wider.shape[1] >= picture.shape[1] + 44


def test_iou_bars_are_as_long_as_the_iou_and_sorted():
    picture = visualize.iou_bars([25.0, np.nan, 100.0, 50.0], list("abcd"))
    blue = (picture == visualize._DARKEST).all(-1)
    lengths = blue[8::16].sum(axis=1)
    np.testing.assert_array_equal(lengths, [401, 201, 101, 0])
    red = (picture == (220, 30, 30)).all(-1)
    # The mean of the three classes that occur.
    first = np.flatnonzero(blue[8])[0]
    assert np.flatnonzero(red.any(axis=0)).tolist() == [
        first + round(400 * 175 / 300)
    ]
