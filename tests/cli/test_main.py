"""The commands of `gss-keras`: exit status, messages and JSON reports."""

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
def segmenter(tmp_path):
    """A segmenter with its preset, and photos and masks of its classes."""
    source = streets.draw(tmp_path / "scenes", 2, seed=1, size=(32, 48))
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
        "--photos", tmp_path / "scenes" / "images",
        "--masks", tmp_path / "scenes" / "masks",
        "--output", tmp_path / "out", *more, capture=capture,
    )  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    status, captured = run(command, "--help", capture=capsys)
    assert status == 0
    assert f"gss-keras {command}" in captured.out


def test_help_names_all_commands(capsys):
    status, captured = run("--help", capture=capsys)
    assert status == 0 and all(name in captured.out for name in COMMANDS)
    status, captured = run("--version", capture=capsys)
    assert captured.out == f"gss-keras {gss_keras.__version__}\n"


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
def test_invalid_commands_have_exit_status_one(arguments, capsys):
    status, captured = run(*arguments, capture=capsys)
    assert status == 1
    assert captured.err


def test_an_error_is_one_line_or_json(capsys):
    status, captured = run("info", "nowhere", "--json", capture=capsys)
    assert status == 1
    assert "`preset` must be" in json.loads(captured.out)["error"]
    assert captured.err.startswith("error: `preset` must be")
    assert len(captured.err.splitlines()) == 1


@pytest.mark.usefixtures("segmenter")
def test_evaluate_compares_with_the_expected_score(tmp_path, capsys):
    status, captured = evaluate(tmp_path, "--json", capture=capsys)
    assert status == 0
    report = json.loads(captured.out)
    scores = json.loads((tmp_path / "out/folders/scores.json").read_text())
    assert report["scores"]["folders"] == scores
    assert scores["classes"][0]["name"] == streets.CLASSES[0]
    mean = report["mIoU"]["folders"]
    status, captured = evaluate(tmp_path, "--expect", mean, capture=capsys)
    assert status == 0 and f"{mean:.2f} reproduced" in captured.out
    status, captured = evaluate(tmp_path, "--expect", mean + 9, capture=capsys)
    assert status == 1 and "not reproduced" in captured.out


@pytest.mark.usefixtures("segmenter")
def test_evaluate_lists_skipped_files(tmp_path, capsys):
    (tmp_path / "scenes" / "images" / "00001.png").write_bytes(b"half a fi")
    status, captured = evaluate(tmp_path, capture=capsys)
    assert status == 1 and "00001.png" in captured.err
    status, captured = evaluate(
        tmp_path, "--skip-bad-files", "--json", capture=capsys
    )
    assert status == 2
    (skipped,) = json.loads(captured.out)["skipped"]
    assert skipped["file"] == "00001"


def test_info_shows_classes_parameters_and_flops(segmenter, tmp_path, capsys):
    status, captured = run(
        *("info", tmp_path / "preset", "--size", 32, 48, "--json"),
        capture=capsys,
    )
    assert status == 0
    report = json.loads(captured.out)
    assert report["classes"] == list(streets.CLASSES)
    assert report["parameters"]["all"] == segmenter.count_params()
    assert report["gigaflops"] > 0 and report["has_weights"]
    assert "GenerativeSegmenter" in report["card"]
    status, captured = run("info", "camvid", "--no-cost", capture=capsys)
    assert status == 0
    assert "bicyclist" in captured.out and "GFLOP" not in captured.out
    status, captured = run("info", "maskige", capture=capsys)
    assert status == 0 and "DiscreteVAE" in captured.out


def test_info_lists_presets(tmp_path, monkeypatch, capsys, segmenter):
    monkeypatch.setenv("GSS_KERAS_HOME", str(tmp_path / "home"))
    segmenter.save_to_preset(tmp_path / "home" / "mine")
    status, captured = run("info", "list", "--json", capture=capsys)
    assert status == 0
    names = json.loads(captured.out)
    assert "camvid" in names["bundled"] and names["converted"] == ["mine"]
    assert "gss_ff_resnet101_cityscapes" in names["published"]


def test_export_passes_its_options(tmp_path, monkeypatch, capsys, segmenter):
    received = {}

    def export(self, filepath, **options):
        received.update(options, path=filepath, classes=self.classes)
        return filepath

    monkeypatch.setattr(type(segmenter), "export", export)
    status, captured = run(
        "export", tmp_path / "saved", "--preset", tmp_path / "preset",
        "--size", 32, 48, "--version", "next", "--outputs", "masks", "tokens",
        "--warmup-sizes", 32, 48, "--json", capture=capsys,
    )  # fmt: skip
    assert status == 0
    assert json.loads(captured.out)["path"] == str(tmp_path / "saved")
    assert received == {
        "path": tmp_path / "saved", "classes": streets.CLASSES,
        "format": "tf_saved_model", "window": None, "stride": None,
        "outputs": ("masks", "tokens"), "size": (32, 48), "version": "next",
        "warmup_sizes": ((32, 48),),
    }  # fmt: skip


def test_demo_passes_its_options(monkeypatch, capsys):
    demo = pytest.importorskip("gss_keras.demo")
    received = []
    monkeypatch.setattr(
        demo, "serve", lambda *arguments: received.append(arguments)
    )
    assert run("demo", "--port", 0, "--host", "::1", capture=capsys)[0] == 0
    assert received == [("camvid", "::1", 0, 786_432, False)]


def test_convert_runs_a_converter(tmp_path, capsys):
    absent = tmp_path / "absent.pth"
    status, captured = run(
        *("convert", "gss", "--checkpoint", absent, "--output", tmp_path / "x"),
        capture=capsys,
    )
    assert status == 1
    assert "absent.pth" in captured.err


def test_the_module_runs_as_a_command(segmenter, tmp_path):
    done = subprocess.run(
        [
            sys.executable, "-m", "gss_keras.cli", "predict", "--json",
            "--preset", tmp_path / "preset", "--output", tmp_path / "out",
            "--sizes", "0", tmp_path / "scenes" / "images" / "00000.png",
        ],
        env={**os.environ},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["segmented"] == 1
    from PIL import Image

    photo = np.asarray(Image.open(tmp_path / "scenes" / "images" / "00000.png"))
    mask = np.asarray(Image.open(tmp_path / "out" / "masks" / "00000.png"))
    assert np.mean(mask == segmenter.predict(photo)) > 0.999
