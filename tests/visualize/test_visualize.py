import numpy as np
import pytest
from PIL import Image
from tiny import tiny_data, tiny_posterior, tiny_prior

import gss_keras
from gss_keras import palettes, visualize
from gss_keras.data import catalog

pytestmark = pytest.mark.any_backend


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_paint_maps_classes_to_colors(dtype):
    palette = palettes.camvid()
    mask = np.array([[0, 3, 10], [255, 11, 10]], dtype)
    painted = visualize.paint(mask, palette, ignore_color=(1, 2, 3))
    np.testing.assert_array_equal(painted[0], palette[[0, 3, 10]])
    np.testing.assert_array_equal(painted[1, :2], [[1, 2, 3], [1, 2, 3]])


def test_overlay_blends_photo_and_mask(tmp_path):
    photo = np.full((2, 2, 3), 100, "uint8")
    palette = [[0, 0, 0], [200, 200, 200]]
    mask = np.array([[0, 1], [1, 0]])
    blended = visualize.overlay(photo, mask, palette, opacity=0.25)
    np.testing.assert_array_equal(blended[..., 0], [[75, 125], [125, 75]])
    visualize.save(blended, tmp_path / "overlay.png")
    np.testing.assert_array_equal(Image.open(tmp_path / "overlay.png"), blended)


def test_reconstruction_panel_marks_wrong_pixels():
    posterior, masks = tiny_posterior(), tiny_data()[1]
    panel = visualize.reconstruction_panel(posterior, masks)
    count, height, width = masks.shape
    assert panel.shape[1] == 5 * (width + 6) - 6
    reconstructions = posterior.predict(masks, verbose=0).argmax(-1)
    is_wrong = (reconstructions != masks) & (masks != 255)
    # The captions and the note below each row are 24 pixels high.
    for row in range(count):
        top = 24 + row * (height + 24 + 6)
        errors = panel[top : top + height, -width:]
        is_red = (errors == (255, 0, 0)).all(-1)
        np.testing.assert_array_equal(is_red, is_wrong[row])


def colors_in(image):
    return {tuple(color) for color in image.reshape(-1, 3).tolist()}


def test_palette_chart_shows_all_colors_and_frames_the_closest_pair():
    palette = palettes.maximal_distance(13)
    chart = visualize.palette_chart(palette, [f"class {i}" for i in range(13)])
    expected = palette.round().astype(int).tolist()
    assert {tuple(color) for color in expected} <= colors_in(chart)
    # Tiles are 140 pixels apart; two of them have a red frame.
    chart = visualize.palette_chart([[0, 0, 0], [0, 0, 250], [0, 0, 240]])
    framed = [(chart[40, 5 + 140 * i] == (210, 30, 30)).all() for i in range(3)]
    assert framed == [False, True, True]


def test_palette_chart_of_a_single_color():
    assert (9, 8, 7) in colors_in(visualize.palette_chart([[9, 8, 7]], ["sky"]))


def test_legend_shows_the_selected_classes():
    palette = [[10, 20, 30], [40, 50, 60], [70, 80, 90]]
    legend = visualize.legend(palette, ["a", "b", "c"], 300, ids=[0, 2, 255])
    assert {(10, 20, 30), (70, 80, 90)} <= colors_in(legend)
    assert (40, 50, 60) not in colors_in(legend)
    assert legend.shape[1] == 300
    names = [f"a class with number {i}" for i in range(3)]
    narrow = visualize.legend(palette, names, 200)
    assert len(narrow) > len(legend)
    assert visualize.legend(palette, ids=[255]).shape[1] == 640


def test_stack_pads_images_with_white():
    above = np.full((2, 3, 3), 7, "uint8")
    below = np.full((1, 5, 3), 8, "uint8")
    stacked = visualize.stack(above, below, gap=2)
    np.testing.assert_array_equal(stacked[:2, :3], above)
    np.testing.assert_array_equal(stacked[4:], below)
    assert (stacked[:2, 3:] == 255).all() and (stacked[2:4] == 255).all()


def test_segmentation_panel_has_a_legend_of_class_names():
    (photos, masks), names = tiny_data(), ["sky", "road", "car", "tree", "man"]
    panels = [
        visualize.segmentation_panel(
            gss_keras.GenerativeSegmenter(
                tiny_prior(tiny_posterior(classes=classes))
            ),
            photos,
            masks,
        )
        for classes in (None, names)
    ]
    assert len(panels[1]) > len(panels[0])
    assert panels[1].shape[1] == panels[0].shape[1]


def test_colors_for_returns_the_colors_of_the_data_set():
    camvid = catalog.card("camvid")
    posterior = tiny_posterior(11, classes=camvid.classes)
    segmenter = gss_keras.GenerativeSegmenter(tiny_prior(posterior))
    colors = visualize.colors_for(segmenter)
    np.testing.assert_array_equal(colors, camvid.colors)
    unknown = gss_keras.GenerativeSegmenter(tiny_prior())
    colors = visualize.colors_for(unknown)
    np.testing.assert_array_equal(colors, unknown.posterior.palette)


def test_save_is_atomic(tmp_path):
    mask = np.array([[0, 300], [65535, 2]], "uint16")
    visualize.save(mask, tmp_path / "new" / "mask.png")
    with Image.open(tmp_path / "new" / "mask.png") as image:
        np.testing.assert_array_equal(np.asarray(image), mask)
    with pytest.raises(TypeError):
        visualize.save(np.zeros((2, 2, 7), "uint8"), tmp_path / "bad.png")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert len(list((tmp_path / "new").iterdir())) == 1


def darkness(image):
    return 255 - image.astype(int).mean(axis=-1)


@pytest.mark.parametrize("count", [2, 11, 60, 194])
def test_confusion_matrix_is_normalized_over_true_classes(count):
    # A perfect prediction, then class 1 is always predicted as class 0.
    confusion = 1000 * np.eye(count, count + 1, dtype="int64")
    right = visualize.confusion_matrix(confusion)
    confusion[1, 0], confusion[1, 1] = 7, 0
    wrong = visualize.confusion_matrix(confusion)
    assert right.shape == wrong.shape
    changed = darkness(wrong) - darkness(right)
    darker, paler = np.argwhere(changed > 60), np.argwhere(changed < -60)
    # One cell became darker and the one to its right lighter.
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


def test_predictions_of_no_class_get_a_column():
    confusion = np.array([[5, 0, 0], [0, 5, 0]])
    chart = visualize.confusion_matrix(confusion)
    confusion[0, 2] = 5
    wider = visualize.confusion_matrix(confusion)
    assert wider.shape[1] >= chart.shape[1] + 44


def test_iou_bars_are_sorted_and_proportional_to_the_iou():
    chart = visualize.iou_bars([25.0, np.nan, 100.0, 50.0], list("abcd"))
    is_blue = (chart == (0x1D, 0x4E, 0x89)).all(-1)
    widths = is_blue.sum(axis=1)
    rows = np.flatnonzero(np.diff((widths > 5).astype(int)) == 1) + 3
    lengths = widths[rows]
    assert len(rows) == 3
    np.testing.assert_allclose(lengths / lengths[0], [1, 0.5, 0.25], atol=0.02)
    # The red line is at the mean of the three classes that occur.
    row = chart[rows[0]].astype(int)
    red = np.abs(row - (0xC1, 0x29, 0x2E)).sum(axis=-1).argmin()
    start = np.flatnonzero(is_blue[rows[0]])[0]
    position = (red - start) / lengths[0]
    assert position == pytest.approx(175 / 300, abs=0.01)


CURVE = """step,loss,token_accuracy,val_mIoU
10,3.0,0.1,
20,1.0,0.5,40.0
"""


def test_training_curves_have_subplots_of_losses_and_scores(tmp_path):
    (tmp_path / "curve.csv").write_text(CURVE)
    chart = visualize.training_curves(tmp_path)
    assert chart.shape == (330, 3 * 430, 3)
    (tmp_path / "loss.csv").write_text("step,loss\n1,2.0\n2,1.0\n")
    assert visualize.training_curves(tmp_path / "loss.csv").shape[1] == 430
    both = visualize.training_curves(
        {"a": tmp_path, "b": tmp_path / "loss.csv"}
    )
    assert both.shape == chart.shape
    assert (both != chart).any()


def test_invalid_training_curves_raise(tmp_path):
    for text in ("", "step,loss\n", "a,b\n1,2\n", "step,loss\n1,two\n"):
        (tmp_path / "curve.csv").write_text(text)
        with pytest.raises(ValueError, match="`curves` must"):
            visualize.training_curves(tmp_path)
    with pytest.raises(ValueError, match="`curves` must"):
        visualize.training_curves(tmp_path / "nowhere.csv")
