"""Every recipe runs from its command line, with `--debug`.

Each kind of outcome is tested once in a separate process: a training that
succeeds, an error, and a score that is not reproduced.
"""

import contextlib
import io
import json
import pathlib
import runpy
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from tiny import tiny_posterior, tiny_prior

import gss_keras
from gss_keras import data, metrics
from gss_keras.data.submission import Submission
from gss_keras.inference.views import Views
from gss_keras.synthetic import miniature, streets

RECIPES = pathlib.Path(__file__).parents[2] / "recipes"


def run(recipe, *arguments):
    return subprocess.run(
        [sys.executable, RECIPES / recipe, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def run_here(recipe, *arguments):
    """Run a recipe in this process, which saves the time for imports."""
    path = str(RECIPES / recipe)
    command = [path, *map(str, arguments)]
    stdout, stderr = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        patch.setattr(sys, "argv", command)
        status = 0
        try:
            runpy.run_path(path, run_name="__main__")
        except SystemExit as end:
            status = end.code or 0
    if isinstance(status, str):
        stderr.write(status)
        status = 1
    return subprocess.CompletedProcess(
        command, status, stdout.getvalue(), stderr.getvalue()
    )


def test_quickstart(tmp_path):
    done = run("quickstart.py", "--debug", "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "Reconstruction mIoU" in done.stdout
    picture = np.asarray(Image.open(tmp_path / "out" / "segmentation.png"))
    assert picture.shape[2] == 3 and picture.std() > 10


TRAININGS = [
    ("train_cityscapes.py", "ft-w"),
    ("train_ade20k.py", "ft"),
    ("train_mseg.py", "tt"),
    ("train_camvid.py", "ff-r"),
]


@pytest.mark.any_backend
@pytest.mark.parametrize(("recipe", "variant"), TRAININGS)
def test_training(recipe, variant, tmp_path):
    out = tmp_path / "out"
    arguments = ("--debug", "--output", out, "--variant", variant)
    start = run if recipe == "train_cityscapes.py" else run_here
    done = start(recipe, *arguments)
    assert done.returncode == 0, done.stderr
    segmenter = gss_keras.GenerativeSegmenter.from_preset(out / "preset")
    kinds = {"ff-r": "Nearest", "ft": "Conv", "tt": "Conv", "ft-w": "Window"}
    inverse = segmenter.inverse or segmenter.posterior.inverse
    assert type(inverse).__name__.startswith(kinds[variant])
    scores = json.loads((out / "scores.json").read_text())
    assert f"{scores['mIoU']:.2f}" in done.stdout
    stage = out / ("inverse" if variant == "ft-w" else "prior")
    header = (stage / "curve.csv").read_text().splitlines()[0]
    assert "val_mIoU" in header
    for picture in [out / "segmentation.png", *stage.glob("pictures/*.png")]:
        assert np.asarray(Image.open(picture)).std() > 10
    # The second run has nothing left to do.
    again = run_here(recipe, *arguments)
    assert again.returncode == 0, again.stderr
    assert "Epoch" not in again.stdout


@pytest.mark.any_backend
@pytest.mark.parametrize("variant", ["ff", "ft-w", "tf"])
def test_train_posterior(variant, tmp_path):
    out = tmp_path / "out"
    done = run_here(
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


@pytest.mark.any_backend
def test_evaluate_compares_with_the_expected_score(tmp_path):
    source = streets.draw(tmp_path / "scenes", 3, seed=1)
    segmenter = gss_keras.GenerativeSegmenter(
        tiny_prior(tiny_posterior(num_classes=source.num_classes))
    )
    segmenter.save_to_preset(tmp_path / "preset")
    scores = gss_keras.SegmentationScores(source.num_classes)
    for record in source:
        scores.update_state(record["mask"], segmenter.predict(record["photo"]))
    expected = float(scores.result()["mIoU"])
    arguments = [
        *("--preset", tmp_path / "preset"),
        *("--photos", tmp_path / "scenes" / "images"),
        *("--masks", tmp_path / "scenes" / "masks"),
        *("--output", tmp_path / "out"),
    ]
    done = run_here("evaluate.py", *arguments, "--expect", expected)
    assert done.returncode == 0, done.stderr
    assert f"mIoU {expected:.2f}" in done.stdout
    assert f"{expected:.2f} reproduced" in done.stdout
    found = json.loads((tmp_path / "out/folders/scores.json").read_text())
    assert found["mIoU"] == pytest.approx(expected, abs=1e-3)
    done = run("evaluate.py", *arguments, "--expect", 77.76, "--fit", 90, 64)
    assert done.returncode == 1
    assert "77.76 not reproduced" in done.stdout


def save_segmenter(num_classes, folder):
    segmenter = gss_keras.GenerativeSegmenter(
        tiny_prior(tiny_posterior(num_classes=num_classes))
    )
    segmenter.save_to_preset(folder)
    return segmenter


@pytest.mark.any_backend
def test_evaluate_on_a_data_set_of_the_catalog(tmp_path):
    folder = miniature.write("cityscapes", tmp_path / "mini", size=(48, 96))
    segmenter = save_segmenter(19, tmp_path / "preset")
    done = run_here(
        "evaluate.py",
        *("--preset", tmp_path / "preset", "--output", tmp_path / "out"),
        *("--dataset", "cityscapes", "--data-dir", folder),
        *("--window", 40, 64, "--stride", 32, 48),
        *("--scales", 0.5, 1.0, "--flip"),
        *("--save-predictions", tmp_path / "predictions"),
    )
    assert done.returncode == 0, done.stderr
    assert "| traffic light |" in done.stdout
    out = tmp_path / "out" / "cityscapes"
    found = json.loads((out / "scores.json").read_text())
    scores = gss_keras.SegmentationScores(19)
    submission = Submission(tmp_path / "predictions/cityscapes", "cityscapes")
    views = Views(scales=(0.5, 1.0), flip=True)
    for record in data.load("cityscapes", folder, "val"):
        written = submission.read(record["name"])
        predicted = segmenter.predict(
            record["photo"], views=views, window=(40, 64), stride=(32, 48)
        )
        assert np.mean(written == predicted) > 0.999
        scores.update_state(record["mask"], written)
    mean = float(scores.result()["mIoU"])
    assert found["mIoU"] == pytest.approx(mean, abs=1e-3)
    assert np.asarray(Image.open(out / "confusion.png")).std() > 10


@pytest.mark.any_backend
def test_evaluate_computes_the_harmonic_mean_on_mseg(tmp_path):
    folder = miniature.write("mseg", tmp_path / "mini", size=(32, 48))
    save_segmenter(194, tmp_path / "preset")
    done = run_here(
        "evaluate.py",
        *("--preset", tmp_path / "preset", "--output", tmp_path / "out"),
        *("--dataset", "mseg", "--data-dir", folder),
        *("--limit", 1, "--fit", 64, 32),
    )
    assert done.returncode == 0, done.stderr
    found = [
        json.loads((tmp_path / f"out/mseg-{name}/scores.json").read_text())
        for name in data.mseg.TEST_SETS
    ]
    mean = metrics.harmonic_mean([scores["mIoU"] for scores in found])
    assert f"harmonic mean mIoU {mean:.2f}" in done.stdout
    assert [len(scores["classes"]) for scores in found] == [
        data.catalog.card(f"mseg-{name}").num_classes
        for name in data.mseg.TEST_SETS
    ]


@pytest.mark.any_backend
def test_a_missing_data_set_is_reported(tmp_path):
    done = run(
        "train_camvid.py",
        *("--data-dir", tmp_path / "no", "--output", tmp_path / "out"),
    )
    assert done.returncode == 1
    assert done.stderr.count("error:") == 1 and "Traceback" not in done.stderr
    assert str(tmp_path / "no") in done.stderr


@pytest.mark.any_backend
def test_compare_discriminative(tmp_path):
    posterior = gss_keras.LatentPosterior(
        gss_keras.palettes.maximal_distance(11),
        gss_keras.DiscreteVAE.from_preset("maskige"),
    )
    encoder = gss_keras.DirectEncoder.for_posterior(posterior, channels=8)
    posterior.with_encoder(encoder).save_to_preset(tmp_path / "posterior")
    arguments = ("--debug", "--output", tmp_path / "out")
    arguments += ("--methods", "fcn", "gss-ft-w")
    arguments += ("--posterior", tmp_path / "posterior")
    done = run_here("compare_discriminative.py", *arguments)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows] == [
        "| method", "| fcn", "| gss-ft-w",
    ]  # fmt: skip
    for row in rows[1:]:
        assert all(0 <= float(n) <= 100 for n in row.split("|")[4:6])
    segmenter = gss_keras.GenerativeSegmenter.from_preset(
        tmp_path / "out" / "gss-ft-w_0.001_2_0" / "preset"
    )
    assert type(segmenter.inverse).__name__ == "WindowInverse"
    assert isinstance(segmenter.posterior.encoder, gss_keras.DirectEncoder)
    again = run_here("compare_discriminative.py", *arguments)
    assert "Epoch" not in again.stdout
    assert [line for line in again.stdout.splitlines() if line in rows] == rows


@pytest.mark.any_backend
def test_distill_decoder(tmp_path):
    done = run_here(
        "distill_decoder.py", "--debug", "--output", tmp_path / "out"
    )
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert set(scores) == {"decoder and X^-1", "direct decoder"}
    folder = tmp_path / "out" / "preset"
    segmenter = gss_keras.GenerativeSegmenter.from_preset(folder)
    assert isinstance(segmenter.decoder, gss_keras.DirectDecoder)


@pytest.mark.any_backend
@pytest.mark.parametrize("kind", ["lookup", "direct"])
def test_distill_encoder(kind, tmp_path):
    arguments = ("--debug", "--output", tmp_path / "out", "--kind", kind)
    done = run_here("distill_encoder.py", *arguments)
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    same, exact, cheaper = scores.values()
    assert f"{cheaper:.4f}" in done.stdout
    if kind == "lookup":
        # Up to a fifth of the tokens are ties, which rounding decides.
        assert same > 0.7
        assert cheaper == pytest.approx(exact, abs=1)
    folder = tmp_path / "out" / "preset"
    posterior = gss_keras.LatentPosterior.from_preset(folder)
    assert type(posterior.encoder).__name__.lower() == f"{kind}encoder"
