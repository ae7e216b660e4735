"""From a released checkpoint to a preset, by the command line too."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from tiny import tiny_tokenizer

import gss_keras
from weights_conversion import gss, official, writing

ROOT = pathlib.Path(__file__).parents[2]
INVERSE = ("projection.", "post_", "cls_segmap.")


def read_golden(golden, name):
    with np.load(golden / f"{name}.npz") as arrays:
        tensors = {
            key.removeprefix("sd/"): arrays[key]
            for key in arrays.files
            if key.startswith("sd/")
        }
        return tensors, json.loads(str(arrays["meta"]))


@pytest.fixture
def release(golden):
    """Tensors of a small FF model, and MMCV's text of its configuration."""
    tensors, meta = read_golden(golden, "e2e_swin_ff")
    model = {
        "type": "EncoderDecoder",
        "backbone": meta["backbone"],
        "decode_head": meta["head"],
        "test_cfg": {
            "mode": "slide",
            "crop_size": (256, 320),
            "stride": (192, 224),
        },
    }
    return tensors, f"model = {model!r}\nlog_level = 'INFO'\n"


@pytest.fixture
def inverse(golden):
    """Tensors of a learned inverse for the same seven classes."""
    tensors, _ = read_golden(golden, "head_ftw")
    return {
        f"decode_head.{name}": array
        for name, array in tensors.items()
        if name.startswith(INVERSE)
    }


def save(path, tensors, text=None, is_zip=True):
    torch = pytest.importorskip("torch")
    state = {k: torch.from_numpy(np.array(v)) for k, v in tensors.items()}
    meta = {"epoch": 1, "iter": 80000} | ({"config": text} if text else {})
    torch.save(
        {"meta": meta, "state_dict": state, "optimizer": {}},
        path,
        _use_new_zipfile_serialization=is_zip,
    )
    return path


def without_tokenizer(tensors):
    return {
        name: array
        for name, array in tensors.items()
        if not name.startswith("decode_head.d_vae.")
    }


PHOTOS = np.random.default_rng(0).integers(0, 256, (2, 60, 90, 3), "uint8")


@pytest.mark.parametrize(
    "is_zip",
    [
        pytest.param(True, id="zip"),
        pytest.param(False, id="old", marks=pytest.mark.any_backend),
    ],
)
def test_a_checkpoint_becomes_a_preset(release, tmp_path, is_zip):
    tensors, text = release
    path = save(tmp_path / "ff.pth", tensors, text, is_zip)
    segmenter, checked = gss.convert(path, tmp_path / "model")
    assert gss.variant(segmenter) == "GSS-FF"
    assert checked.classes >= 1 and 0 < checked.share <= 1
    picture = writing.picture_of(tmp_path / "model")
    assert picture.read_bytes().startswith(b"\x89PNG")

    loaded = gss_keras.GenerativeSegmenter.from_preset(tmp_path / "model")
    assert loaded.window == (256, 320) and loaded.stride == (192, 224)
    expected = official.build_segmenter(
        tensors, gss.mmcv_config.parse_config(text, ("model",))
    )
    np.testing.assert_array_equal(
        loaded.predict(PHOTOS), expected.predict(PHOTOS)
    )
    card = (tmp_path / "model" / "README.md").read_text()
    assert "GSS-FF" in card and "`ff.pth`" in card and "DALL-E" in card
    assert writing.sha256(path) in card
    assert "windows of 256x320 every 192x224" in card


@pytest.mark.any_backend
def test_an_inverse_of_another_checkpoint_is_merged(release, inverse, tmp_path):
    tensors, text = release
    ff = save(tmp_path / "ff.pth", tensors, text)
    # Whatever else it holds, only the inverse is taken from it.
    others = {k: v + 1 for k, v in without_tokenizer(tensors).items()}
    ft_w = save(tmp_path / "ftw.pth", others | inverse, text)
    segmenter, _ = gss.convert(ff, tmp_path / "model", inverse_checkpoint=ft_w)
    assert gss.variant(segmenter) == "GSS-FT-W"
    maskiges = segmenter.predict_maskiges(PHOTOS)
    alone, _ = gss.convert(ff, tmp_path / "alone")
    np.testing.assert_array_equal(maskiges, alone.predict_maskiges(PHOTOS))
    learned = {
        name.removeprefix("decode_head."): array
        for name, array in inverse.items()
    }
    weights = segmenter.posterior.inverse.get_weights()
    total = sum(float(np.sum(weight)) for weight in weights)
    expected = sum(
        float(np.sum(array))
        for name, array in learned.items()
        if not name.endswith(("_index", "num_batches_tracked"))
    )
    assert total == pytest.approx(expected, rel=1e-4)
    with pytest.raises(ValueError, match="ff.pth must contain the learned in"):
        gss.read(ft_w, inverse_checkpoint=ff)


@pytest.mark.any_backend
@pytest.mark.parametrize("has_pixel_branch", [True, False])
def test_ft_w_comes_with_or_without_a_pixel_branch(
    release, inverse, tmp_path, has_pixel_branch
):
    tensors, text = release
    tensors = tensors | inverse
    if not has_pixel_branch:
        tensors = {k: v for k, v in tensors.items() if "_pixel" not in k}
    path = save(tmp_path / "ftw.pth", tensors, text)
    built = official.build_segmenter(
        *gss.read(path)
    )  # fmt: skip
    assert gss.variant(built) == "GSS-FT-W"
    branch = built.prior.config["pixel_branch"]
    assert branch == ("separate" if has_pixel_branch else None)
    built.save_to_preset(tmp_path / "model")
    loaded = gss_keras.GenerativeSegmenter.from_preset(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(PHOTOS), built.predict(PHOTOS))
    masks = np.zeros(PHOTOS.shape[:3], "int32")
    built.compile("sgd")
    before = [np.array(v) for v in built.posterior.inverse.get_weights()]
    built.fit(PHOTOS[:, :24, :24], masks[:, :24, :24], verbose=0)
    after = built.posterior.inverse.get_weights()
    assert any(np.any(a != b) for a, b in zip(before, after, strict=True))


@pytest.mark.any_backend
def test_a_tokenizer_of_its_own_is_used(release, tmp_path):
    tensors, text = release
    path = save(tmp_path / "ff.pth", without_tokenizer(tensors), text)
    tokenizer = tiny_tokenizer(groups=4, codebook_size=512)
    tokenizer.save_to_preset(tmp_path / "tokenizer")
    segmenter, _ = gss.convert(
        path, tmp_path / "model", tokenizer=tmp_path / "tokenizer"
    )
    for ours, theirs in zip(
        segmenter.posterior.tokenizer.get_weights(),
        tokenizer.get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "weights_conversion.gss", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.any_backend
def test_the_command_says_what_it_did(release, tmp_path):
    tensors, text = release
    path = save(tmp_path / "ff.pth", tensors, text)
    result = run("--checkpoint", path, "--output", tmp_path / "model")
    assert result.returncode == 0, result.stderr
    assert "GSS-FF, SwinTransformer, 7 classes" in result.stdout
    assert "model_check.png" in result.stdout
    assert (tmp_path / "model" / "config.json").is_file()


def test_wrong_files_end_in_one_line(release, tmp_path, capsys):
    tensors, text = release
    whole = save(tmp_path / "whole.pth", tensors, text)
    (tmp_path / "cut.pth").write_bytes(whole.read_bytes()[:90_000])
    (tmp_path / "text.pth").write_text("no checkpoint at all")
    save(tmp_path / "evil.pth", tensors, "model = open('/tmp/x', 'w')")
    save(tmp_path / "colorless.pth", tensors)
    save(tmp_path / "bare.pth", without_tokenizer(tensors), text)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    cases = {
        "absent.pth": "no file|must be a file|absent.pth",
        "cut.pth": "cut.pth",
        "text.pth": "text.pth",
        "evil.pth": "must be Python assignments",
        "colorless.pth": "`--palette`",
        "bare.pth": "weights_conversion.dalle",
    }
    environment = pytest.MonkeyPatch()
    environment.setenv("GSS_KERAS_HOME", str(tmp_path / "home"))
    for name, message in cases.items():
        with pytest.raises(SystemExit, match=f"error: .*({message})") as caught:
            gss.main(tmp_path / name, tmp_path / "model")
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "model").exists()
    environment.undo()
    with pytest.raises(SystemExit, match="nothing of yours is overwritten"):
        gss.main(whole, tmp_path / "full")
    assert not capsys.readouterr().out
