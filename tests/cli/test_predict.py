"""`gss-keras predict` writes the right masks and reports skipped files.

The masks and the number of compilations are tested on every backend; the
rest, which is about files, on one.
"""

import json

import keras
import numpy as np
import pytest
from PIL import Image
from tiny import tiny_backbone, tiny_posterior, tiny_prior

import gss_keras
from gss_keras import cli, visualize
from gss_keras.cli.sizes import pad, whole_size

NAMES = ["sky", "road", "car", "tree", "person"]
SIZES = [(32, 48), (40, 33), (61, 20), (1, 1), (90, 70)]


@pytest.fixture
def segmenter(tmp_path):
    posterior = tiny_posterior(classes=NAMES)
    segmenter = gss_keras.GenerativeSegmenter(tiny_prior(posterior))
    segmenter.save_to_preset(tmp_path / "preset")
    return segmenter


@pytest.fixture
def photos(tmp_path):
    """Photos of mixed sizes in a folder and a subfolder."""
    rng = np.random.default_rng(0)
    photos = {}
    for index, size in enumerate(SIZES):
        name = f"photo {index}" if index % 2 else f"below/{index}"
        photo = rng.integers(0, 256, (*size, 3), "uint8")
        visualize.save(photo, tmp_path / "in" / f"{name}.png")
        photos[name] = photo
    return photos


def predict(tmp_path, *more, capture=None):
    arguments = [
        "predict", tmp_path / "in", "--preset", tmp_path / "preset",
        "--output", tmp_path / "out", *more,
    ]  # fmt: skip
    status = cli.main([str(argument) for argument in arguments])
    return status if capture is None else (status, capture.readouterr())


def read(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_masks_equal_the_segmenters_predictions(segmenter, photos, tmp_path):
    assert predict(tmp_path, "--sizes", 0) == 0
    out = tmp_path / "out"
    for name, photo in photos.items():
        mask = read(out / "masks" / f"{name}.png")
        np.testing.assert_array_equal(mask, segmenter.predict(photo))
        assert mask.dtype == np.uint8
        colors = read(out / "colors" / f"{name}.png")
        expected = visualize.paint(mask, segmenter.posterior.palette)
        np.testing.assert_array_equal(colors, expected)
        assert read(out / "overlays" / f"{name}.jpg").shape == photo.shape
    assert read(out / "legend.png").std() > 10


def test_photos_are_padded_by_default(segmenter, photos, tmp_path):
    sizes = ["--sizes", 99] if keras.backend.backend() == "jax" else []
    assert predict(tmp_path, *sizes) == 0
    for name, photo in photos.items():
        height, width = photo.shape[:2]
        padded = pad(photo, whole_size((height, width)))
        expected = segmenter.predict(padded)[:height, :width]
        mask = read(tmp_path / "out" / "masks" / f"{name}.png")
        np.testing.assert_array_equal(mask, expected)


def test_mixed_sizes_compile_at_most_two_times(
    segmenter, photos, tmp_path, monkeypatch
):
    prior = type(segmenter.prior)
    calls, infer = [], prior.infer

    def counted(self, photos, *outputs):
        calls.append(photos.shape)
        return infer(self, photos, *outputs)

    monkeypatch.setattr(prior, "infer", counted)
    assert predict(tmp_path, "--sizes", 2) == 0
    if keras.backend.backend() == "torch":
        # Eager: one call for each photo, with one of two sizes.
        assert len(calls) == len(photos) and len(set(calls)) == 2
    else:
        # Each call is a trace, and each trace a compilation.
        assert 1 <= len(calls) <= 2


@pytest.mark.any_backend
@pytest.mark.usefixtures("segmenter", "photos")
def test_finished_photos_are_not_segmented_again(tmp_path, capsys):
    predict(tmp_path)
    capsys.readouterr()
    masks = tmp_path / "out" / "masks"
    before = {path: path.stat().st_mtime_ns for path in masks.rglob("*.png")}
    deleted, kept = sorted(before)[:2]
    deleted.unlink()
    status, captured = predict(tmp_path, capture=capsys)
    assert status == 0 and "1 segmented, 4 already done" in captured.out
    assert deleted.exists() and kept.stat().st_mtime_ns == before[kept]
    # A photo that is newer than its mask is segmented again.
    modified = tmp_path / "in" / "photo 1.png"
    visualize.save(np.zeros((7, 9, 3), "uint8"), modified)
    assert predict(tmp_path) == 0
    assert read(masks / "photo 1.png").shape == (7, 9)
    status, captured = predict(tmp_path, "--write", "masks", capture=capsys)
    assert "0 segmented, 5 already done" in captured.out
    assert not list((tmp_path / "out").rglob("*.partial"))


@pytest.mark.any_backend
@pytest.mark.usefixtures("segmenter", "photos")
def test_results_of_other_settings_are_not_mixed(tmp_path, capsys):
    predict(tmp_path, "--write", "masks")
    status, captured = predict(tmp_path, "--max-side", 30, capture=capsys)
    assert status == 1
    assert "settings: max_side differ" in captured.err.replace("\n", " ")
    assert predict(tmp_path, "--max-side", 30, "--overwrite") == 0
    mask = read(tmp_path / "out" / "masks" / "below" / "4.png")
    assert mask.shape == (90, 70)
    # Upscaled from 30 x 23: each row is repeated three times.
    np.testing.assert_array_equal(mask[0::3], mask[2::3])


@pytest.mark.any_backend
@pytest.mark.usefixtures("segmenter", "photos")
def test_broken_files_are_reported_and_skipped(tmp_path, capsys):
    good = (tmp_path / "in" / "photo 1.png").read_bytes()
    (tmp_path / "in" / "half.png").write_bytes(good[: len(good) // 2])
    (tmp_path / "in" / "text.jpg").write_text("no photo")
    (tmp_path / "in" / "notes.txt").write_text("no photo, by its extension")
    status, captured = predict(tmp_path, "--json", capture=capsys)
    assert status == 2
    report = json.loads(captured.out)
    assert (report["segmented"], report["other_files"]) == (5, 1)
    names = {entry["file"].rsplit("/", 1)[1] for entry in report["skipped"]}
    assert names == {"half.png", "text.jpg"}
    listed = (tmp_path / "out" / "bad_files.txt").read_text().splitlines()
    assert len(listed) == 2
    assert all(name in captured.err for name in names)
    for name in names:
        (tmp_path / "in" / name).unlink()
    assert predict(tmp_path) == 0
    assert not (tmp_path / "out" / "bad_files.txt").exists()


@pytest.mark.any_backend
@pytest.mark.usefixtures("segmenter")
def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "in").mkdir()
    picture = Image.fromarray(np.zeros((20, 50, 3), "uint8"))
    picture.save(tmp_path / "in" / "phone.jpg", exif=exif)
    assert predict(tmp_path, "--sizes", 2) == 0
    assert read(tmp_path / "out" / "masks" / "phone.png").shape == (50, 20)


@pytest.mark.any_backend
def test_a_discriminative_segmenter_with_windows(photos, tmp_path):
    segmenter = gss_keras.DiscriminativeSegmenter(
        tiny_backbone(), 5, channels=8, window=(32, 32)
    )
    segmenter.save_to_preset(tmp_path / "preset")
    assert predict(tmp_path, "--write", "masks") == 0
    for name, photo in photos.items():
        height, width = photo.shape[:2]
        padded = pad(photo, (max(32, height), max(32, width)))
        mask = read(tmp_path / "out" / "masks" / f"{name}.png")
        expected = segmenter.predict(padded)[:height, :width]
        np.testing.assert_array_equal(mask, expected)
    assert not (tmp_path / "out" / "colors").exists()


@pytest.mark.any_backend
@pytest.mark.usefixtures("segmenter", "photos")
@pytest.mark.parametrize(
    "more, message",
    [
        (["--opacity", 2], "`opacity` must be between 0 and 1"),
        (["--max-side", 0], "`max_side` must be at least 1"),
        (["--palette", "cityscapes"], "each of the preset's 5 classes"),
        (["--palette", "nowhere"], "`palette` must be one of"),
        (["--preset", "nowhere"], "`preset` must be a folder"),
        (["--write"], "`write` must contain at least one output"),
    ],
)
def test_invalid_options_are_reported(tmp_path, capsys, more, message):
    status, captured = predict(tmp_path, *more, capture=capsys)
    assert status == 1
    assert captured.err.startswith("error: ") and message in captured.err
