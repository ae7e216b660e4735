import numpy as np
import pytest
from PIL import Image
from tiny import tiny_data, tiny_posterior, tiny_prior

import gss_keras
from gss_keras import palettes, visualize
from gss_keras.data import catalog

pytestmark = pytest.mark.any_backend


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
    assert picture.shape[1] == 5 * (width + 6) - 6
    answers = posterior.predict(masks, verbose=0).argmax(-1)
    is_wrong = (answers != masks) & (masks != 255)
    # A caption above the columns and a note below each row are 24 high.
    for row in range(count):
        top = 24 + row * (height + 24 + 6)
        errors = picture[top : top + height, -width:]
        is_red = (errors == (255, 0, 0)).all(-1)
        np.testing.assert_array_equal(is_red, is_wrong[row])


def shown_in(picture):
    return {tuple(color) for color in picture.reshape(-1, 3).tolist()}


def test_palette_chart_shows_every_color_and_the_closest_pair():
    palette = palettes.maximal_distance(13)
    chart = visualize.palette_chart(palette, [f"class {i}" for i in range(13)])
    expected = palette.round().astype(int).tolist()
    assert {tuple(color) for color in expected} <= shown_in(chart)
    # Tiles lie in a row 140 pixels apart; a red frame is around two of them.
    chart = visualize.palette_chart([[0, 0, 0], [0, 0, 250], [0, 0, 240]])
    framed = [(chart[40, 5 + 140 * i] == (210, 30, 30)).all() for i in range(3)]
    assert framed == [False, True, True]


def test_a_single_color_has_no_neighbor():
    assert (9, 8, 7) in shown_in(visualize.palette_chart([[9, 8, 7]], ["sky"]))


def test_a_legend_shows_the_classes_asked_for():
    palette = [[10, 20, 30], [40, 50, 60], [70, 80, 90]]
    picture = visualize.legend(palette, ["a", "b", "c"], 300, ids=[0, 2, 255])
    assert {(10, 20, 30), (70, 80, 90)} <= shown_in(picture)
    assert (40, 50, 60) not in shown_in(picture)
    assert picture.shape[1] == 300
    names = [f"a class with number {i}" for i in range(3)]
    narrow = visualize.legend(palette, names, 200)
    assert len(narrow) > len(picture)
    assert visualize.legend(palette, ids=[255]).shape[1] == 640


def test_pictures_are_stacked_as_they_are():
    above = np.full((2, 3, 3), 7, "uint8")
    below = np.full((1, 5, 3), 8, "uint8")
    picture = visualize.stack(above, below, gap=2)
    np.testing.assert_array_equal(picture[:2, :3], above)
    np.testing.assert_array_equal(picture[4:], below)
    assert (picture[:2, 3:] == 255).all() and (picture[2:4] == 255).all()


def test_a_segmenters_own_names_are_below_its_panel():
    (photos, masks), names = tiny_data(), ["sky", "road", "car", "tree", "man"]
    pictures = [
        visualize.segmentation_panel(
            gss_keras.GenerativeSegmenter(
                tiny_prior(tiny_posterior(classes=classes))
            ),
            photos,
            masks,
        )
        for classes in (None, names)
    ]
    assert len(pictures[1]) > len(pictures[0])
    assert pictures[1].shape[1] == pictures[0].shape[1]


def test_masks_are_shown_in_the_colors_of_their_data_set():
    camvid = catalog.card("camvid")
    posterior = tiny_posterior(11, classes=camvid.classes)
    segmenter = gss_keras.GenerativeSegmenter(tiny_prior(posterior))
    colors = visualize.colors_for(segmenter)
    np.testing.assert_array_equal(colors, camvid.colors)
    unknown = gss_keras.GenerativeSegmenter(tiny_prior())
    colors = visualize.colors_for(unknown)
    np.testing.assert_array_equal(colors, unknown.posterior.palette)


def test_a_picture_is_written_whole_or_not_at_all(tmp_path):
    mask = np.array([[0, 300], [65535, 2]], "uint16")
    visualize.save(mask, tmp_path / "new" / "mask.png")
    with Image.open(tmp_path / "new" / "mask.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), mask)
    with pytest.raises(TypeError):
        visualize.save(np.zeros((2, 2, 7), "uint8"), tmp_path / "bad.png")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert len(list((tmp_path / "new").iterdir())) == 1


def darkness(picture):
    return 255 - picture.astype(int).mean(axis=-1)


@pytest.mark.parametrize("count", [2, 11, 60, 194])
def test_a_confusion_matrix_shows_shares_of_the_true_class(count):
    # Everything right, but class 1 is taken for class 0 and the last class
    # has no pixels.
    confusion = 1000 * np.eye(count, count + 1, dtype="int64")
    right = visualize.confusion_matrix(confusion)
    confusion[1, 0], confusion[1, 1] = 7, 0
    wrong = visualize.confusion_matrix(confusion)
    assert right.shape == wrong.shape
    changed = darkness(wrong) - darkness(right)
    darker, paler = np.argwhere(changed > 60), np.argwhere(changed < -60)
    # One cell became dark, the one to its right pale: of one row and size.
    np.testing.assert_allclose(
        darker.min(axis=0)[0], paler.min(axis=0)[0], atol=1
    )
    side = np.ptp(darker, axis=0) + 1
    np.testing.assert_allclose(side[0], side[1], atol=2)
    step = paler.mean(axis=0) - darker.mean(axis=0)
    np.testing.assert_allclose(step, [0, side[1]], atol=2.5)


def test_rows_without_pixels_are_gray():
    counts = [
        (visualize.confusion_matrix(np.diag(right)) == 0xE8).all(-1).sum()
        for right in ([5, 0, 5], [5, 5, 5])
    ]
    assert counts[0] - counts[1] > 3 * 40 * 40


def test_what_was_none_of_the_classes_gets_a_column():
    confusion = np.array([[5, 0, 0], [0, 5, 0]])
    picture = visualize.confusion_matrix(confusion)
    confusion[0, 2] = 5
    wider = visualize.confusion_matrix(confusion)
    assert wider.shape[1] >= picture.shape[1] + 44


def test_iou_bars_are_as_long_as_the_iou_and_sorted():
    picture = visualize.iou_bars([25.0, np.nan, 100.0, 50.0], list("abcd"))
    blue = (picture == (0x1D, 0x4E, 0x89)).all(-1)
    lengths = blue.sum(axis=1)
    rows = np.flatnonzero(np.diff((lengths > 5).astype(int)) == 1) + 3
    found = lengths[rows]
    assert len(rows) == 3
    np.testing.assert_allclose(found / found[0], [1, 0.5, 0.25], atol=0.02)
    # The mean of the three classes that occur.
    row = picture[rows[0]].astype(int)
    red = np.abs(row - (0xC1, 0x29, 0x2E)).sum(axis=-1).argmin()
    start = np.flatnonzero(blue[rows[0]])[0]
    place = (red - start) / found[0]
    assert place == pytest.approx(175 / 300, abs=0.01)


CURVE = """step,loss,token_accuracy,val_mIoU
10,3.0,0.1,
20,1.0,0.5,40.0
"""


def test_curves_are_drawn_in_a_panel_for_each_kind(tmp_path):
    (tmp_path / "curve.csv").write_text(CURVE)
    picture = visualize.training_curves(tmp_path)
    assert picture.shape == (330, 3 * 430, 3)
    (tmp_path / "loss.csv").write_text("step,loss\n1,2.0\n2,1.0\n")
    assert visualize.training_curves(tmp_path / "loss.csv").shape[1] == 430
    both = visualize.training_curves(
        {"a": tmp_path, "b": tmp_path / "loss.csv"}
    )
    assert both.shape == picture.shape
    assert (both != picture).any()


def test_a_curve_that_is_none_is_refused(tmp_path):
    draw = visualize.training_curves
    for text in ("", "step,loss\n", "a,b\n1,2\n", "step,loss\n1,two\n"):
        (tmp_path / "curve.csv").write_text(text)
        with pytest.raises(ValueError, match="`curves` must"):
            draw(tmp_path)
    with pytest.raises(ValueError, match="`curves` must"):
        draw(tmp_path / "nowhere.csv")
