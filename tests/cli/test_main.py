"""The commands of `gss-keras`, their exit status and their JSON."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from tiny import tiny_posterior, tiny_prior

import gss_keras
from gss_keras import cli
from gss_keras.synthetic import streets

pytestmark = pytest.mark.any_backend

COMMANDS = ["predict", "evaluate", "export", "convert", "demo", "info"]


@pytest.fixture
def drawn(tmp_path):
    """A preset, and photos and masks of its classes."""
    source = streets.draw(tmp_path / "drawn", 2, seed=1, size=(32, 48))
    posterior = tiny_posterior(source.num_classes, classes=source.classes)
    segmenter = gss_keras.GenerativeSegmenter(tiny_prior(posterior))
    segmenter.save_to_preset(tmp_path / "preset")
    return segmenter


def run(*arguments, capture):
    status = cli.main([str(argument) for argument in arguments])
    return status, capture.readouterr()


def evaluate(tmp_path, *more, capture):
    return run(
        "evaluate", "--preset", tmp_path / "preset",
        "--photos", tmp_path / "drawn" / "images",
        "--masks", tmp_path / "drawn" / "masks",
        "--output", tmp_path / "out", *more, capture=capture,
    )  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    status, said = run(command, "--help", capture=capsys)
    assert status == 0
    assert f"gss-keras {command}" in said.out


def test_help_names_all_commands(capsys):
    status, said = run("--help", capture=capsys)
    assert status == 0 and all(name in said.out for name in COMMANDS)
    status, said = run("--version", capture=capsys)
    assert said.out == f"gss-keras {gss_keras.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["paint"],
        ["predict", "--colour", "red"],
        ["info"],
        ["convert"],
        ["convert", "gss"],
        ["predict"],
        ["evaluate"],
        ["info", "nowhere"],
    ],
)
def test_what_cannot_be_done_has_status_one(arguments, capsys):
    status, said = run(*arguments, capture=capsys)
    assert status == 1
    assert said.err


def test_an_error_is_one_line_or_json(capsys):
    status, said = run("info", "nowhere", "--json", capture=capsys)
    assert status == 1
    assert "`preset` must be" in json.loads(said.out)["error"]
    assert said.err.startswith("error: `preset` must be")
    assert len(said.err.splitlines()) == 1


def test_evaluate_says_whether_a_score_came_out(drawn, tmp_path, capsys):
    del drawn
    status, said = evaluate(tmp_path, "--json", capture=capsys)
    assert status == 0
    report = json.loads(said.out)
    found = json.loads((tmp_path / "out/folders/scores.json").read_text())
    assert report["scores"]["folders"] == found
    assert found["classes"][0]["name"] == streets.CLASSES[0]
    mean = report["mIoU"]["folders"]
    status, said = evaluate(tmp_path, "--expect", mean, capture=capsys)
    assert status == 0 and f"{mean:.2f} came out" in said.out
    status, said = evaluate(tmp_path, "--expect", mean + 9, capture=capsys)
    assert status == 1 and "did not come out" in said.out


def test_evaluate_names_files_that_were_left_out(drawn, tmp_path, capsys):
    del drawn
    (tmp_path / "drawn" / "images" / "00001.png").write_bytes(b"half a fi")
    status, said = evaluate(tmp_path, capture=capsys)
    assert status == 1 and "00001.png" in said.err
    status, said = evaluate(
        tmp_path, "--skip-bad-files", "--json", capture=capsys
    )
    assert status == 2
    (skipped,) = json.loads(said.out)["skipped"]
    assert skipped["file"] == "00001"


def test_info_tells_classes_parameters_and_cost(drawn, tmp_path, capsys):
    status, said = run(
        *("info", tmp_path / "preset", "--size", 32, 48, "--json"),
        capture=capsys,
    )
    assert status == 0
    report = json.loads(said.out)
    assert report["classes"] == list(streets.CLASSES)
    assert report["parameters"]["all"] == drawn.count_params()
    assert report["gigaflops"] > 0 and report["has_weights"]
    assert "GenerativeSegmenter" in report["card"]
    status, said = run("info", "camvid", "--no-cost", capture=capsys)
    assert status == 0
    assert "bicyclist" in said.out and "GFLOP" not in said.out
    status, said = run("info", "maskige", capture=capsys)
    assert status == 0 and "DiscreteVAE" in said.out


def test_info_lists_presets(tmp_path, monkeypatch, capsys, drawn):
    monkeypatch.setenv("GSS_KERAS_HOME", str(tmp_path / "home"))
    drawn.save_to_preset(tmp_path / "home" / "mine")
    status, said = run("info", "list", "--json", capture=capsys)
    assert status == 0
    names = json.loads(said.out)
    assert "camvid" in names["bundled"] and names["converted"] == ["mine"]
    assert "gss_ff_resnet101_cityscapes" in names["published"]


def test_export_hands_its_options_on(tmp_path, monkeypatch, capsys, drawn):
    asked = {}

    def export(self, filepath, **options):
        asked.update(options, path=filepath, classes=self.classes)
        return filepath

    monkeypatch.setattr(type(drawn), "export", export)
    status, said = run(
        "export", tmp_path / "saved", "--preset", tmp_path / "preset",
        "--size", 32, 48, "--version", "next", "--outputs", "masks", "tokens",
        "--warmup-sizes", 32, 48, "--json", capture=capsys,
    )  # fmt: skip
    assert status == 0
    assert json.loads(said.out)["path"] == str(tmp_path / "saved")
    assert asked == {
        "path": tmp_path / "saved", "classes": streets.CLASSES,
        "format": "tf_saved_model", "window": None, "stride": None,
        "outputs": ("masks", "tokens"), "size": (32, 48), "version": "next",
        "warmup_sizes": ((32, 48),),
    }  # fmt: skip


def test_demo_serves_what_it_is_told(monkeypatch, capsys):
    demo = pytest.importorskip("gss_keras.demo")
    asked = []
    monkeypatch.setattr(
        demo, "serve", lambda *arguments: asked.append(arguments)
    )
    assert run("demo", "--port", 0, "--host", "::1", capture=capsys)[0] == 0
    assert asked == [("camvid", "::1", 0, 786_432, False)]


def test_convert_runs_a_conversion(tmp_path, capsys):
    absent = tmp_path / "absent.pth"
    status, said = run(
        *("convert", "gss", "--checkpoint", absent, "--output", tmp_path / "x"),
        capture=capsys,
    )
    assert status == 1
    assert "absent.pth" in said.err


def test_the_installed_command_segments_a_photo(drawn, tmp_path):
    done = subprocess.run(
        [
            sys.executable, "-m", "gss_keras.cli", "predict", "--json",
            "--preset", tmp_path / "preset", "--output", tmp_path / "out",
            "--sizes", "0", tmp_path / "drawn" / "images" / "00000.png",
        ],
        env={**os.environ},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["segmented"] == 1
    from PIL import Image

    photo = np.asarray(Image.open(tmp_path / "drawn" / "images" / "00000.png"))
    mask = np.asarray(Image.open(tmp_path / "out" / "masks" / "00000.png"))
    assert np.mean(mask == drawn.predict(photo)) > 0.999
