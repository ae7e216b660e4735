"""Rules of the house that a linter does not know."""

import ast
import os
import pathlib
import subprocess
import sys

import pytest

pytestmark = pytest.mark.any_backend

ROOT = pathlib.Path(__file__).parents[1]
LIBRARY = sorted(ROOT.glob("gss_keras/**/*.py")) + sorted(
    ROOT.glob("weights_conversion/**/*.py")
)
BACKENDS = {"tensorflow", "jax", "torch"}
# From the bottom of the house to its top.
FLOORS = [
    {
        "distribution",
        "layers",
        "losses",
        "metrics",
        "presets",
        "sliding_window",
        "stage",
        "stored_weights",
        "whole_folder",
    },  # fmt: skip
    {
        "maskige",
        "tokenizer",
        "backbones",
        "data",
        "checks",
        "views",
        "token_classes",
    },
    {"direct"},
    {"posterior"},
    {"palette_search"},
    {"prior"},
    {"base_segmenter", "export"},
    {"segmenter", "discriminative"},
    {"visualize"},
    {"evaluation"},
    {"training"},
    {"demo"},
    {"cli"},
]


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


@pytest.mark.parametrize("path", LIBRARY, ids=lambda p: str(p.name))
def test_files_are_short(path):
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", LIBRARY, ids=lambda p: str(p.name))
def test_functions_are_short(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            if body:
                length = body[-1].end_lineno - body[0].lineno + 1
                # A constructor lists every layer and every argument.
                limit = 70 if node.name == "__init__" else 50
                assert length <= limit, node.name


@pytest.mark.parametrize(
    "path", sorted((ROOT / "recipes").glob("*.py")), ids=lambda p: p.name
)
def test_recipes_are_short(path):
    assert len(path.read_text().splitlines()) <= 140


def test_few_files_ask_for_a_backend_by_name():
    asking = {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.glob("gss_keras/**/*.py")
        if any(name.split(".")[0] in BACKENDS for name in imports(path))
    }
    # One counts what the others' traces hold, one keeps gradients in place.
    assert asking == {
        "gss_keras/distribution/backend.py",
        "gss_keras/ops/backend.py",
        "gss_keras/ops/flops.py",
        "gss_keras/ops/gradients.py",
        "gss_keras/ops/kernels.py",
    }


def test_files_import_only_from_floors_below():
    floor_of = {room: i for i, rooms in enumerate(FLOORS) for room in rooms}
    for path in ROOT.glob("gss_keras/**/*.py"):
        room = path.relative_to(ROOT / "gss_keras").parts[0].split(".")[0]
        if room == "__init__":
            continue
        for name in imports(path):
            parts = name.split(".")
            if parts[0] == "gss_keras" and len(parts) > 1:
                assert floor_of[parts[1]] <= floor_of[room], (path, name)


# None in `sys.modules` is how Python marks a package that is not there.
_BARE = """
import sys
sys.modules.update(dict.fromkeys({refused!r}))
import gss_keras
"""


@pytest.mark.parametrize("backend", sorted(BACKENDS))
def test_imports_with_keras_numpy_and_one_backend(backend):
    pytest.importorskip(backend)
    extras = {"PIL", "grain", "tyro", "keras_hub", "keras_cv"}
    extras |= {"tensorflow_datasets", "matplotlib"}
    refused = (BACKENDS | extras) - {backend}
    subprocess.run(
        [sys.executable, "-c", _BARE.format(refused=refused)],
        env={**os.environ, "KERAS_BACKEND": backend},
        check=True,
    )
