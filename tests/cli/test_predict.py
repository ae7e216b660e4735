"""`gss-keras predict` gives the right masks and says what it left out.

Every backend proves the masks and what is compiled; one proves the rest,
which is about files.
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
    """Photos of mixed sizes in a folder and one below it."""
    rng = np.random.default_rng(0)
    drawn = {}
    for index, size in enumerate(SIZES):
        name = f"photo {index}" if index % 2 else f"below/{index}"
        photo = rng.integers(0, 256, (*size, 3), "uint8")
        visualize.save(photo, tmp_path / "in" / f"{name}.png")
        drawn[name] = photo
    return drawn


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


def test_masks_are_those_of_the_segmenter(segmenter, photos, tmp_path):
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
    most = 99 if keras.backend.backend() == "jax" else None
    assert predict(tmp_path, *(["--sizes", most] if most else [])) == 0
    for name, photo in photos.items():
        height, width = photo.shape[:2]
        padded = pad(photo, whole_size((height, width)))
        expected = segmenter.predict(padded)[:height, :width]
        mask = read(tmp_path / "out" / "masks" / f"{name}.png")
        np.testing.assert_array_equal(mask, expected)


def test_mixed_sizes_are_compiled_few_times(
    segmenter, photos, tmp_path, monkeypatch
):
    prior = type(segmenter.prior)
    calls, predict_tokens = [], prior.predict_tokens

    def counted(self, photos):
        calls.append(photos.shape)
        return predict_tokens(self, photos)

    monkeypatch.setattr(prior, "predict_tokens", counted)
    assert predict(tmp_path, "--sizes", 2) == 0
    if keras.backend.backend() == "torch":
        # Nothing is compiled: each photo is a call, of one of two sizes.
        assert len(calls) == len(photos) and len(set(calls)) == 2
    else:
        # A call is a trace, and a trace is a compilation.
        assert 1 <= len(calls) <= 2


@pytest.mark.any_backend
@pytest.mark.usefixtures("segmenter", "photos")
def test_what_is_done_is_not_done_again(tmp_path, capsys):
    predict(tmp_path)
    capsys.readouterr()
    masks = tmp_path / "out" / "masks"
    before = {path: path.stat().st_mtime_ns for path in masks.rglob("*.png")}
    lost, kept = sorted(before)[:2]
    lost.unlink()
    status, said = predict(tmp_path, capture=capsys)
    assert status == 0 and "1 segmented, 4 done before" in said.out
    assert lost.exists() and kept.stat().st_mtime_ns == before[kept]
    # A photo that changed after its mask was made is segmented again.
    changed = tmp_path / "in" / "photo 1.png"
    visualize.save(np.zeros((7, 9, 3), "uint8"), changed)
    assert predict(tmp_path) == 0
    assert read(masks / "photo 1.png").shape == (7, 9)
    status, said = predict(tmp_path, "--write", "masks", capture=capsys)
    assert "0 segmented, 5 done before" in said.out
    assert not list((tmp_path / "out").rglob("*.partial"))


@pytest.mark.any_backend
@pytest.mark.usefixtures("segmenter", "photos")
def test_results_of_other_settings_are_not_mixed(tmp_path, capsys):
    predict(tmp_path, "--write", "masks")
    status, said = predict(tmp_path, "--max-side", 30, capture=capsys)
    assert status == 1
    assert "settings: max_side differ" in said.err.replace("\n", " ")
    assert predict(tmp_path, "--max-side", 30, "--overwrite") == 0
    mask = read(tmp_path / "out" / "masks" / "below" / "4.png")
    assert mask.shape == (90, 70)
    # Enlarged from 30 x 23: rows come in threes.
    np.testing.assert_array_equal(mask[0::3], mask[2::3])


@pytest.mark.any_backend
@pytest.mark.usefixtures("segmenter", "photos")
def test_broken_files_are_named_and_skipped(tmp_path, capsys):
    good = (tmp_path / "in" / "photo 1.png").read_bytes()
    (tmp_path / "in" / "half.png").write_bytes(good[: len(good) // 2])
    (tmp_path / "in" / "text.jpg").write_text("no photo")
    (tmp_path / "in" / "notes.txt").write_text("no photo, and not named so")
    status, said = predict(tmp_path, "--json", capture=capsys)
    assert status == 2
    report = json.loads(said.out)
    assert (report["segmented"], report["other_files"]) == (5, 1)
    names = {one["file"].rsplit("/", 1)[1] for one in report["skipped"]}
    assert names == {"half.png", "text.jpg"}
    listed = (tmp_path / "out" / "bad_files.txt").read_text().splitlines()
    assert len(listed) == 2
    assert all(name in said.err for name in names)
    for name in names:
        (tmp_path / "in" / name).unlink()
    assert predict(tmp_path) == 0
    assert not (tmp_path / "out" / "bad_files.txt").exists()


@pytest.mark.any_backend
@pytest.mark.usefixtures("segmenter")
def test_a_photo_held_sideways_gets_an_upright_mask(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "in").mkdir()
    picture = Image.fromarray(np.zeros((20, 50, 3), "uint8"))
    picture.save(tmp_path / "in" / "phone.jpg", exif=exif)
    assert predict(tmp_path, "--sizes", 2) == 0
    assert read(tmp_path / "out" / "masks" / "phone.png").shape == (50, 20)


@pytest.mark.any_backend
def test_windows_and_other_segmenters(photos, tmp_path):
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
        (["--opacity", 2], "`opacity` must be from 0 to 1"),
        (["--max-side", 0], "`max_side` must be at least 1"),
        (["--palette", "cityscapes"], "`palette` must have the 5 colors"),
        (["--palette", "nowhere"], "`palette` must be one of"),
        (["--preset", "nowhere"], "`preset` must be a folder"),
        (["--write"], "`write` must name what to write"),
    ],
)
def test_malformed_options_are_refused(tmp_path, capsys, more, message):
    status, said = predict(tmp_path, *more, capture=capsys)
    assert status == 1
    assert said.err.startswith("error: ") and message in said.err
