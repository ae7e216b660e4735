"""Rules about the structure of the package, which a linter does not know."""

import ast
import enum
import importlib
import inspect
import os
import pathlib
import pkgutil
import subprocess
import sys

import pytest

import gss_keras

pytestmark = pytest.mark.any_backend

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "gss_keras"
BACKENDS = {"tensorflow", "jax", "torch"}
# The one module that may use private parts of Keras and of the backends.
PRIVATE = "gss_keras/ops/private.py"

# From the bottom to the top: each folder or module imports only from those
# before it, and never from its own floor.
FLOORS = [
    "constants",
    "checks",
    "initializers",
    "ops",
    "distribution",
    "saving",
    "layers",
    "maskige",
    "tokenizer",
    "backbones",
    "heads",
    "data",
    "synthetic",
    "inference",
    "direct",
    "export",
    "models",
    "visualize",
    "evaluation",
    "training",
    "demo",
    "cli",
]


def trees():
    """Yield the path of each file of the package, and its syntax tree."""
    for path in sorted(PACKAGE.glob("**/*.py")):
        yield path, ast.parse(path.read_text())


def imports(tree):
    """Yield the names of imported modules, `from gss_keras import x` too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "gss_keras":
            yield from (f"gss_keras.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def test_few_modules_lie_outside_of_folders():
    loose = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert loose == {"constants", "checks", "initializers"}


def test_files_import_only_from_floors_below():
    rooms = {
        path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for path, _ in trees()
    }
    assert rooms - {"__init__"} == set(FLOORS)
    # Aliases of modules in `gss_keras/__init__.py`.
    homes = {"presets": "saving", "views": "inference", "metrics": "models"}
    for path, tree in trees():
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for name in imports(tree):
            parts = name.split(".")
            if parts[0] != "gss_keras" or len(parts) == 1 or room == "__init__":
                continue
            other = homes.get(parts[1], parts[1])
            if other != room:
                below = FLOORS.index(other) < FLOORS.index(room)
                assert below, f"{path} imports {name}"


def test_few_files_import_a_backend():
    asking = {
        path.relative_to(ROOT).as_posix()
        for path, tree in trees()
        if any(name.split(".")[0] in BACKENDS for name in imports(tree))
    }
    assert asking == {
        "gss_keras/distribution/backend.py",
        "gss_keras/ops/backend.py",
        "gss_keras/ops/flops.py",
        "gss_keras/ops/gradients.py",
        "gss_keras/ops/kernels.py",
    }


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def test_one_module_uses_private_attributes_of_other_objects():
    for path, tree in trees():
        if path.relative_to(ROOT).as_posix() == PRIVATE:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and is_private(node.attr):
                owner = node.value
                is_own = isinstance(owner, ast.Name) and owner.id in (
                    "self",
                    "cls",
                )
                assert is_own, f"{path}:{node.lineno} {ast.unparse(node)}"


def library_classes():
    """Yield each class of the package that inherits from another package."""
    for module in pkgutil.walk_packages(gss_keras.__path__, "gss_keras."):
        if module.name.endswith("__main__"):
            continue
        try:
            found = importlib.import_module(module.name)
        except ImportError as error:  # an extra that is not installed
            assert error.name.split(".")[0] != "gss_keras"
            continue
        for _, kind in inspect.getmembers(found, inspect.isclass):
            is_enum = issubclass(kind, enum.Enum)
            if kind.__module__ == module.name and not is_enum:
                yield kind


def test_no_class_overrides_or_reads_private_parts_of_its_base():
    seen = 0
    for kind in library_classes():
        own = [k for k in kind.__mro__ if k.__module__.startswith("gss_keras")]
        foreign = [k for k in kind.__mro__ if k not in (*own, object)]
        if not foreign or kind.__module__ == "gss_keras.ops.private":
            continue
        seen += 1
        inherited = {n for k in foreign for n in vars(k) if is_private(n)}
        inherited -= {"_abc_impl"}
        overridden = inherited & set(vars(kind))
        assert not overridden, f"{kind} overrides {overridden}"
        defined, read = set(), set()
        for base in own:
            defined |= set(vars(base))
            source = inspect.cleandoc("\n" + inspect.getsource(base))
            for node in ast.walk(ast.parse(source)):
                if (
                    isinstance(node, ast.Attribute)
                    and isinstance(node.value, ast.Name)
                    and node.value.id == "self"
                    and is_private(node.attr)
                ):
                    is_store = isinstance(node.ctx, ast.Store)
                    (defined if is_store else read).add(node.attr)
        assert read <= defined, f"{kind} reads {read - defined}"
    assert seen > 30


# None in `sys.modules` is how Python marks a package that is not installed.
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


def test_public_modules_are_found_under_their_public_names():
    for name in ("metrics", "palette_search", "presets", "views"):
        module = importlib.import_module(f"gss_keras.{name}")
        assert module is getattr(gss_keras, name)
    from gss_keras.data import streets

    assert streets is gss_keras.data.streets is gss_keras.synthetic.streets
