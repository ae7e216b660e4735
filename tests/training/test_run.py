"""Whole trainings in small, and what they refuse."""

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


def test_a_missing_folder_is_explained(tmp_path):
    asked = settings(tmp_path / "out", debug=False)
    with pytest.raises(ValueError, match="leftImg8bit(.|\n)*--debug"):
        training.Run(asked, "cityscapes")
    asked = settings(tmp_path / "out", debug=False, data_dir=tmp_path / "no")
    with pytest.raises(ValueError, match="no"):
        training.Run(asked, "cityscapes").open("train")


def test_a_folder_with_other_settings_is_not_mixed(tmp_path):
    training.Run(settings(tmp_path), "camvid")
    saved = json.loads((tmp_path / "settings.json").read_text())
    assert saved["tokenizer"] == "maskige"
    free = {"machine": training.Machine(workers=1), "stages": ("prior",)}
    training.Run(settings(tmp_path, **free), "camvid")
    with pytest.raises(ValueError, match="other settings: head, seed differ"):
        training.Run(
            settings(
                tmp_path, seed=1, head=training.Head(pixel_branch="shared")
            ),
            "camvid",
        )


def test_stages_need_those_before_them(tmp_path):
    run = training.Run(settings(tmp_path, stages=("prior",)), "camvid")
    with pytest.raises(ValueError, match="'posterior' is not done.*first"):
        run.posterior(run.open("train"))


def test_an_output_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        training.Run(settings(tmp_path / "file" / "out"), "camvid")


def test_backbones_are_found_by_name(tmp_path, monkeypatch):
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


def test_the_command_line_ends_with_one_message(monkeypatch, capsys):
    def main(settings):
        raise ValueError(f"`fit` must be so. Received: {settings}")

    @dataclasses.dataclass(frozen=True)
    class Settings:
        fit: int = 1

    monkeypatch.setattr("sys.argv", ["recipe", "--fit", "3"])
    with pytest.raises(SystemExit, match="error: `fit` must be so.*3"):
        training.run_recipe(main, Settings, "A recipe.")
    monkeypatch.setenv("GSS_KERAS_TRACEBACK", "1")
    with pytest.raises(ValueError, match="must be so"):
        training.run_recipe(main, Settings, "A recipe.")
    assert not capsys.readouterr().out
