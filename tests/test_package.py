"""The built wheel is complete, and works from another folder."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PROGRAM = """
import pathlib
import numpy as np
import gss_keras
from weights_conversion import efficientnet_lite
assert pathlib.Path(gss_keras.__file__).is_relative_to({target!r})
assert pathlib.Path(efficientnet_lite.__file__).is_relative_to({target!r})
tokenizer = gss_keras.DiscreteVAE.from_preset("maskige")
posterior = gss_keras.LatentPosterior("cityscapes", tokenizer)
mask = np.full((1, 8, 8), 3, "int32")
assert (posterior.predict(mask, verbose=0).argmax(-1) == mask).all()
gss_keras.backbones.EfficientNetLite.from_preset("efficientnet_lite0")
print("complete")
"""


SOURCES = [
    "gss_keras", "weights_conversion", "pyproject.toml", "README.md",
    "LICENSE", "NOTICE",
]  # fmt: skip


@pytest.mark.any_backend
def test_wheel_works_from_another_folder(tmp_path):
    pytest.importorskip("setuptools", reason="builds the wheel")
    source, target = tmp_path / "source", tmp_path / "installed"
    source.mkdir()
    for name in SOURCES:  # a copy: building leaves files behind
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    _pip("wheel", "--no-build-isolation", "-w", tmp_path, source)
    (wheel,) = tmp_path.glob("gss_keras-*.whl")
    _pip("install", "--target", target, wheel)
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(target=str(target))],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "complete" in result.stdout, result.stderr


def _pip(command, *arguments):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, command, "-q", "--no-deps", *arguments], check=True)
