"""Training runs: folders, settings, stages and errors."""

import dataclasses
import json

import pytest

from gss_keras import training

pytestmark = pytest.mark.any_backend


def settings(folder, **kwargs):
    schedule = training.Schedule(10, 1e-3, batch_size=2)
    defaults = {
        "crop": training.Crop((64, 64)),
        "prior": schedule,
        "inverse": schedule,
        "output": folder,
        "debug": True,
    }
    return training.Settings(**(defaults | kwargs))


def test_a_missing_data_dir_raises(tmp_path):
    without = settings(tmp_path / "out", debug=False)
    with pytest.raises(ValueError, match="leftImg8bit(.|\n)*--debug"):
        training.Run(without, "cityscapes")
    wrong = settings(tmp_path / "out", debug=False, data_dir=tmp_path / "no")
    with pytest.raises(ValueError, match="no"):
        training.Run(wrong, "cityscapes").open("train")


def test_other_settings_in_the_output_folder_raise(tmp_path):
    training.Run(settings(tmp_path), "camvid")
    saved = json.loads((tmp_path / "settings.json").read_text())
    assert saved["tokenizer"] == "maskige"
    changeable = {"machine": training.Machine(workers=1), "stages": ("prior",)}
    training.Run(settings(tmp_path, **changeable), "camvid")
    with pytest.raises(ValueError, match="other settings: head, seed differ"):
        training.Run(
            settings(
                tmp_path, seed=1, head=training.Head(pixel_branch="shared")
            ),
            "camvid",
        )


def test_a_stage_needs_the_stages_before_it(tmp_path):
    run = training.Run(settings(tmp_path, stages=("prior",)), "camvid")
    message = "'posterior' has not been run.*first"
    with pytest.raises(ValueError, match=message):
        run.posterior(run.open("train"))


def test_an_unwritable_output_folder_raises(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        training.Run(settings(tmp_path / "file" / "out"), "camvid")


def test_build_backbone_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("GSS_KERAS_HOME", str(tmp_path))
    with pytest.raises(ValueError, match="resnet101"):
        training.build_backbone("resnet_101")
    with pytest.raises(ValueError, match="backbone-weights none"):
        training.build_backbone("hrnet_w48")
    for name in training.ARCHITECTURES:
        small = training.build_backbone(name, is_small=True)
        assert set(small.channels) == {4, 8, 16, 32}
        small.save_to_preset(tmp_path / name)
        assert training.build_backbone(name).count_params() > 0


def test_the_command_line_reports_errors_in_one_message(monkeypatch, capsys):
    def main(settings):
        raise ValueError(f"`fit` must be 1. Received: {settings}")

    @dataclasses.dataclass(frozen=True)
    class Settings:
        fit: int = 1

    monkeypatch.setattr("sys.argv", ["recipe", "--fit", "3"])
    with pytest.raises(SystemExit, match="error: `fit` must be 1.*3"):
        training.run_recipe(main, Settings, "A recipe.")
    monkeypatch.setenv("GSS_KERAS_TRACEBACK", "1")
    with pytest.raises(ValueError, match="must be 1"):
        training.run_recipe(main, Settings, "A recipe.")
    assert not capsys.readouterr().out
