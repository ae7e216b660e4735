"""Verification of our models with golden files, and that it can fail."""

import numpy as np
import pytest

from weights_conversion import verify
from weights_conversion.golden.comparison import agree, compare

GRADIENTS = {f"grad/feat{level}" for level in range(4)}
LOSSES = {"train/loss_ce", "train/loss_ce_pixel", "train/total_loss"}
TOKENS = {"test/vq_logits", "test/vq_indices", "train/target_indices"}
MASKS = {"whole/pred", "slide/pred"}


def once(*values):
    """Mark a case that is tested on one backend only."""
    return pytest.param(*values, marks=pytest.mark.any_backend)


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("head_ff", GRADIENTS | LOSSES | TOKENS | {"recon/class_map"}),
        ("head_single_fusion", GRADIENTS | LOSSES | TOKENS),
        ("head_ftw", {"test_odd/seg_logits", "grad/cls_segmap.conv.bias"}),
        ("e2e_swin_ff", MASKS),
        # Other tests cover their parts on each backend.
        once("e2e_resnet_ff", MASKS),
        once("e2e_swin_ftw", MASKS),
        once("optim_groups", {"swin, 190 parameters", "r50, 227 parameters"}),
        ("lr_schedule", {"schedule 0", "schedule 4"}),
        ("miou", {"mIoU", "reduce_zero/mAcc"}),
    ],
)
def test_golden_files_are_reproduced(golden, name, stages):
    rows = list(verify.verify(golden / f"{name}.npz"))
    assert not [row for row in rows if not row.is_passed]
    assert stages <= {row.stage for row in rows}


def altered(path, folder, name, change):
    with np.load(path) as arrays:
        arrays = dict(arrays)
    arrays[name] = change(arrays[name])
    np.savez(folder / path.name, **arrays)
    return folder / path.name


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("swin_w12", "sd/stages.2.blocks.1.attn.w_msa.proj.weight"),
        ("slide_inference", "sd/decode_head.conv.bias"),
        ("lr_schedule", "out/c2/lr"),
        ("miou", "in/gt1"),
    ],
)
def test_a_small_difference_fails(golden, tmp_path, file, name):
    path = altered(
        golden / f"{file}.npz", tmp_path, name, lambda array: array[::-1]
    )
    assert not all(row.is_passed for row in verify.verify(path))


def test_the_command_counts_failures_and_exits_with_1(golden, tmp_path, capsys):
    (tmp_path / "broken.npz").write_bytes(b"not a golden file")
    np.savez(tmp_path / "strange.npz", out=np.ones(3))
    (tmp_path / "miou.npz").write_bytes((golden / "miou.npz").read_bytes())
    with pytest.raises(SystemExit) as caught:
        verify.main(tmp_path)
    assert caught.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "10 passed, 2 failed"
    failed = [line for line in lines if line.endswith("FAILED")]
    assert "broken" in failed[0] and "Error" in failed[0]
    assert "strange" in failed[1] and "kinds of golden files" in failed[1]


def test_a_folder_without_golden_files_is_an_error(tmp_path):
    with pytest.raises(SystemExit, match="must be a folder with"):
        verify.main(tmp_path)


def test_comparisons_of_unequal_or_invalid_arrays_fail():
    ones = np.ones((2, 3))
    assert compare("same", ones, ones).is_passed
    assert not compare("shape", ones, np.ones((2, 4))).is_passed
    assert not compare("nan", ones * np.nan, ones).is_passed
    assert not compare("far", ones * 1.01, ones).is_passed
    assert agree("same", ones, ones).is_passed
    assert not agree("shape", ones, np.ones(3)).is_passed
    assert not agree("all ties", ones, ones, ones == 0).is_passed
