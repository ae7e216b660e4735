import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from backbone_checks import IDENTITY, check_golden, read_golden

from gss_keras.backbones import HRNetV2, ResNetV1c, SwinTransformer
from weights_conversion import backbones as converter
from weights_conversion import writing


@pytest.fixture
def swin(golden):
    """Tensors of a small Swin, in mmsegmentation's layout."""
    tensors, _, _ = read_golden(golden / "swin_w12.npz")
    return tensors


def to_original_layout(tensors):
    """Renames mmsegmentation's tensors as the original Swin has them.

    The original puts merged positions side by side in the order (row,
    column) = (0, 0), (1, 0), (0, 1), (1, 1); mmsegmentation's `unfold` has
    all positions of the first channel first, row by row.
    """
    renames = [
        ("stages.", "layers."),
        ("projection", "proj"),
        ("attn.w_msa.", "attn."),
        ("ffn.layers.0.0.", "mlp.fc1."),
        ("ffn.layers.1.", "mlp.fc2."),
    ]
    original = {}
    for name, array in tensors.items():
        if ".downsample." in name:
            merged = array.shape[-1]
            order = [
                4 * channel + 2 * row + column
                for row, column in ((0, 0), (1, 0), (0, 1), (1, 1))
                for channel in range(merged // 4)
            ]
            array = array[..., order]
        for theirs, ours in renames:
            name = name.replace(theirs, ours)
        original[name] = array
    return original


def test_the_original_layout_gives_the_same_model(golden):
    tensors, inputs, outputs = read_golden(golden / "swin_w7.npz")
    tensors = to_original_layout(tensors)
    assert "layers.0.blocks.0.mlp.fc1.weight" in tensors
    assert "layers.2.downsample.reduction.weight" in tensors
    backbone = converter.convert_swin(tensors, **IDENTITY)
    check_golden(backbone, {"b": inputs["b"]}, outputs)


def test_a_classifier_has_no_norms_of_the_levels(swin):
    tensors = {
        name: array
        for name, array in swin.items()
        if not re.match(r"norm\d", name)
    }
    tensors["norm.weight"] = tensors["norm.bias"] = np.ones(128, "float32")
    tensors["head.weight"] = np.ones((10, 128), "float32")
    tensors["stages.0.blocks.0.attn.w_msa.relative_position_index"] = np.ones(1)
    tensors["stages.0.blocks.0.attn_mask"] = np.ones(1)
    backbone = converter.convert_swin(tensors)
    for stage in range(4):
        gamma, beta = backbone.get_layer(f"level_norm_{stage}").get_weights()
        assert np.all(gamma == 1) and np.all(beta == 0)


def test_some_norms_of_the_levels_are_an_error(swin):
    tensors = {k: v for k, v in swin.items() if k != "norm2.weight"}
    with pytest.raises(ValueError, match=r"\['norm2.weight'\] missing"):
        converter.convert_swin(tensors)


def test_leftovers_and_gaps_are_named(swin):
    tensors = dict(swin)
    del tensors["stages.1.blocks.0.norm2.bias"]
    tensors["stages.1.surprise"] = np.ones(1)
    with pytest.raises(
        ValueError,
        match=r"\['stages.1.surprise'\] left over, "
        r"\['stages.1.blocks.0.norm2.bias'\] missing",
    ):
        converter.convert_swin(tensors)


def test_a_wrong_shape_names_the_tensor(swin):
    tensors = {**swin, "norm3.bias": np.ones(5, "float32")}
    with pytest.raises(ValueError, match=r"`norm3.bias`.*\(128,\).*\(5,\)"):
        converter.convert_swin(tensors)


@pytest.mark.parametrize(
    ("convert", "message"),
    [
        (converter.convert_swin, "a Swin Transformer of four stages"),
        (converter.convert_resnet_v1c, "a ResNet-V1c with one of the blocks"),
        (converter.convert_hrnet, "no tensor `stage4.0.branches.0.0.conv1"),
    ],
)
def test_another_architecture_is_refused(convert, message):
    with pytest.raises(ValueError, match=message):
        convert({"conv1.weight": np.ones((64, 3, 7, 7))})


def test_a_prefix_selects():
    tensors = {"backbone.norm0.bias": 1, "decode_head.bias": 2}
    assert converter.select(tensors, "backbone.") == {"norm0.bias": 1}
    assert converter.select(tensors, "") == tensors
    with pytest.raises(ValueError, match=r"`prefix`.*\['backbone', 'decode_"):
        converter.select(tensors, "model.")


def test_batch_counts_and_the_classifier_are_dropped(golden):
    tensors, _, _ = read_golden(golden / "resnet50_v1c.npz")
    tensors["stem.1.num_batches_tracked"] = np.ones(())
    tensors["fc.weight"] = np.ones((10, 2048))
    backbone = converter.convert_resnet_v1c(
        tensors, dilations=(1, 1, 1, 1), stage_strides=(1, 2, 2, 2)
    )
    assert backbone.strides[32] == 32


@pytest.mark.parametrize(
    ("architecture", "file", "cls"),
    [
        ("swin", "swin_w12", SwinTransformer),
        ("resnet_v1c", "resnet50_v1c", ResNetV1c),
        ("hrnet", "hrnet", HRNetV2),
    ],
)
def test_a_file_becomes_a_preset(
    golden, tmp_path, capsys, architecture, file, cls
):
    tensors, _, _ = read_golden(golden / f"{file}.npz")
    path = _save(
        tmp_path / "a.pth", {f"backbone.{k}": v for k, v in tensors.items()}
    )
    converter.main(architecture, path, tmp_path / "preset", "backbone.")
    printed = capsys.readouterr().out
    assert "wrote" in printed and "stride 32: " in printed
    preset = cls.from_preset(tmp_path / "preset")
    expected = sum(array.size for array in tensors.values())
    assert preset.count_params() == expected
    card = (tmp_path / "preset" / "README.md").read_text()
    assert "`a.pth`" in card and writing.sha256(path) in card


@pytest.mark.any_backend
def test_the_command_converts(swin, tmp_path):
    path = _save(tmp_path / "a.pth", swin)
    arguments = ["--architecture", "swin", "--checkpoint", str(path)]
    done = subprocess.run(
        [sys.executable, "-m", "weights_conversion.backbones", *arguments]
        + ["--output", str(tmp_path / "preset")],
        cwd=pathlib.Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "each taken once" in done.stdout
    assert (tmp_path / "preset" / "model.weights.h5").is_file()


@pytest.mark.any_backend
def test_the_command_shows_no_traceback(tmp_path):
    path = _save(tmp_path / "a.pth", {"conv1.weight": np.ones((64, 3, 7, 7))})
    with pytest.raises(
        SystemExit, match="error: The checkpoint must be a Swin"
    ):
        converter.main("swin", path, tmp_path / "preset")
    assert not (tmp_path / "preset").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.txt").write_text("mine")
    with pytest.raises(SystemExit, match="nothing of yours is overwritten"):
        converter.main("swin", path, tmp_path / "mine")


def _save(path, tensors):
    torch = pytest.importorskip("torch")
    torch.save(
        {"state_dict": {k: torch.tensor(v) for k, v in tensors.items()}}, path
    )
    return path
