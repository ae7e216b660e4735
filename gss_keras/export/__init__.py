"""From a segmenter to a file that others run without this package."""

import dataclasses
import importlib.util
import os
import pathlib
import tempfile

import keras

from gss_keras.export.answers import OUTPUTS, answer, check_outputs
from gss_keras.export.elsewhere import convert_to_onnx, write_with_tensorflow
from gss_keras.export.settings import MAX_PIXELS, Settings
from gss_keras.saving.whole_folder import whole_folder

__all__ = ["MAX_PIXELS", "OUTPUTS", "Settings", "answer", "export_segmenter"]

_FORMATS = ("tf_saved_model", "onnx")
_SAVED_MODEL = "saved_model.pb"


def export_segmenter(
    segmenter, path, format="tf_saved_model", version=None, **settings
):
    """Write a segmenter as a SavedModel or an ONNX file.

    Args:
        segmenter: A `GenerativeSegmenter` or `DiscriminativeSegmenter`, on
            any backend. Under JAX and PyTorch a process of its own writes it
            with TensorFlow, which must be installed.
        path: Where to write: a new or empty folder, or a new file that ends
            in `.onnx`.
        format: "tf_saved_model" or "onnx".
        version: None to write into `path` itself; "next" or a number from 1
            for a folder of that name in `path`, as TensorFlow Serving reads
            them.
        **settings: See `Settings`.

    Returns:
        A `pathlib.Path` of what was written.

    Raises:
        ValueError: If an argument is malformed or something is there already.
        ImportError: If a package that is needed is not installed.
        RuntimeError: If the model holds what TensorFlow or ONNX cannot.
    """
    if format not in _FORMATS:
        raise ValueError(
            f"`format` must be one of {_FORMATS}. Received: format={format!r}"
        )
    known = [field.name for field in dataclasses.fields(Settings)]
    for name in settings:
        if name not in known:
            raise ValueError(
                f"`export` takes {known} beside `format` and `version`; photos "
                f"of one size are asked for by `size`. Received: {name}="
                f"{settings[name]!r}"
            )
    settings = Settings(**settings)
    check_outputs(segmenter, settings.outputs, settings.window)
    target = _target(
        pathlib.Path(path).expanduser().absolute(), format, version
    )
    _check_packages(format, settings)
    if format == "onnx":
        _check_for_onnx(settings)
    if format == "tf_saved_model":
        with whole_folder(target) as partial:
            _write(segmenter, partial, settings)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f".{target.name}.partial-", dir=target.parent
    ) as folder:
        folder = pathlib.Path(folder)
        _write(segmenter, folder / "saved_model", settings, is_for_onnx=True)
        convert_to_onnx(folder / "saved_model", folder / "model.onnx")
        os.replace(folder / "model.onnx", target)
    return target


def _write(segmenter, folder, settings, is_for_onnx=False):
    if keras.backend.backend() == "tensorflow":
        from gss_keras.export.saved_model import write_saved_model

        write_saved_model(segmenter, folder, settings, is_for_onnx)
    else:
        write_with_tensorflow(segmenter, folder, settings, is_for_onnx)


def _target(path, format, version):
    if format == "onnx":
        _check_onnx_path(path, version)
        return path
    if (path / _SAVED_MODEL).exists() or path.is_file():
        raise ValueError(
            "There is a model already where this one is to be written. Choose "
            f"another path or delete it. Received: path={str(path)!r}"
        )
    if version is None:
        if path.exists() and any(path.iterdir()):
            raise ValueError(
                "`path` must be a new or empty folder, so that nothing of "
                "yours is overwritten. Choose another one, or give "
                "`version='next'` where it holds versions of a model. "
                f"Received: path={str(path)!r}"
            )
        return path
    if version == "next":
        numbers = [int(p.name) for p in path.glob("*") if p.name.isdecimal()]
        return path / str(max(numbers, default=0) + 1)
    if not isinstance(version, int) or version < 1:
        raise ValueError(
            "`version` must be None, 'next' or an int above 0. "
            f"Received: version={version!r}"
        )
    if (path / str(version)).exists():
        raise ValueError(
            "`version` is there already. Give `version='next'` for the next "
            f"free number. Received: version={version}, path={str(path)!r}"
        )
    return path / str(version)


def _check_onnx_path(path, version):
    if path.suffix != ".onnx" or path.exists():
        raise ValueError(
            "`path` must be a new file that ends in '.onnx'. "
            f"Received: path={str(path)!r}"
        )
    if version is not None:
        raise ValueError(
            "`version` is for TensorFlow Serving, which takes no ONNX. Leave "
            f"it out. Received: version={version!r}, format='onnx'"
        )


def _check_for_onnx(settings):
    if settings.warmup_sizes or settings.max_batch_size:
        raise ValueError(
            "`warmup_sizes` and `max_batch_size` are for TensorFlow Serving, "
            "which takes no ONNX. Leave them out. Received: "
            f"warmup_sizes={settings.warmup_sizes}, "
            f"max_batch_size={settings.max_batch_size}, format='onnx'"
        )


def _check_packages(format, settings):
    wanted = {"tensorflow": "tensorflow"}
    if format == "onnx":
        wanted |= {"onnx": "onnx", "tf2onnx": "onnx"}
    if settings.warmup_sizes:
        wanted |= {"tensorflow_serving": "serving"}
    for package, extra in wanted.items():
        if importlib.util.find_spec(package) is None:
            raise ImportError(
                f"This export needs the package `{package}`. Install it with "
                f"`pip install gss-keras[{extra}]`."
            )
