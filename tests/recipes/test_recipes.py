"""Every recipe runs, shrunk, as a user would start it."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from tiny import tiny_posterior, tiny_prior

import gss_keras
from gss_keras.data import streets

RECIPES = pathlib.Path(__file__).parents[2] / "recipes"


def run(recipe, *arguments):
    return subprocess.run(
        [sys.executable, RECIPES / recipe, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_quickstart(tmp_path):
    done = run("quickstart.py", "--debug", "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "Reconstruction mIoU" in done.stdout
    picture = np.asarray(Image.open(tmp_path / "out" / "segmentation.png"))
    assert picture.shape[2] == 3 and picture.std() > 10


@pytest.fixture
def camvid(tmp_path):
    """CamVid's layout, filled with drawn scenes of nine of its classes."""
    for split in ("train", "val"):
        drawn = streets.draw(tmp_path / f"drawn_{split}", 4, seed=len(split))
        (tmp_path / "camvid" / split).mkdir(parents=True)
        (tmp_path / "camvid" / f"{split}annot").mkdir()
        for name, record in zip(drawn.names, drawn, strict=True):
            for folder, picture in [
                (split, record["photo"]),
                (f"{split}annot", record["mask"].astype("uint8")),
            ]:
                path = tmp_path / "camvid" / folder / f"{name}.png"
                Image.fromarray(picture).save(path)
    return tmp_path / "camvid"


def test_train_camvid(camvid, tmp_path):
    done = run(
        "train_camvid.py",
        *("--data-dir", camvid, "--debug", "--output", tmp_path / "out"),
    )
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"preset", "curve.csv", "segmentation.png"} <= names
    header = (tmp_path / "out" / "curve.csv").read_text().splitlines()[0]
    assert "val_mIoU" in header


@pytest.mark.parametrize("variant", ["ff", "ft-w", "tf"])
def test_train_posterior(variant, tmp_path):
    out = tmp_path / "out"
    done = run(
        "train_posterior.py",
        *("--variant", variant, "--debug", "--output", out),
    )
    assert done.returncode == 0, done.stderr
    scores = json.loads((out / "scores.json").read_text())
    assert f"reconstruction mIoU {scores['mIoU']:.2f}" in done.stdout
    assert bool(scores["parameters"]) == (variant != "ff")
    picture = np.asarray(Image.open(out / "reconstruction.png"))
    assert picture.std() > 10
    palette = gss_keras.palettes.load(out / "palette.json")
    posterior = gss_keras.LatentPosterior.from_preset(out / "preset")
    np.testing.assert_allclose(posterior.palette, palette, atol=1e-3)


def test_evaluate_tells_whether_a_score_came_out(tmp_path):
    drawn = streets.draw(tmp_path / "drawn", 3, seed=1)
    segmenter = gss_keras.GenerativeSegmenter(
        tiny_prior(tiny_posterior(num_classes=drawn.num_classes))
    )
    segmenter.save_to_preset(tmp_path / "preset")
    scores = gss_keras.SegmentationScores(drawn.num_classes)
    for record in drawn:
        scores.update_state(record["mask"], segmenter.predict(record["photo"]))
    expected = float(scores.result()["mIoU"])
    arguments = [
        *("--preset", tmp_path / "preset"),
        *("--photos", tmp_path / "drawn" / "images"),
        *("--masks", tmp_path / "drawn" / "masks"),
    ]
    done = run("evaluate.py", *arguments, "--expect", expected)
    assert done.returncode == 0, done.stderr
    assert f"mIoU {expected:.2f}" in done.stdout
    assert f"{expected:.2f} came out" in done.stdout
    done = run("evaluate.py", *arguments, "--expect", 77.76, "--fit", 90, 64)
    assert done.returncode == 1
    assert "77.76 did not come out" in done.stdout


def test_a_missing_data_set_is_named(tmp_path):
    done = run("train_camvid.py", "--data-dir", tmp_path, "--debug")
    assert done.returncode != 0
    assert "`data_dir` must hold CamVid" in done.stderr
