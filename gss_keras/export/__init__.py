"""Export segmenters to files that run without this package."""

import dataclasses
import importlib.util
import os
import pathlib
import tempfile

import keras

from gss_keras.export.elsewhere import convert_to_onnx, write_with_tensorflow
from gss_keras.export.settings import MAX_PIXELS, Settings
from gss_keras.saving.whole_folder import whole_folder

__all__ = ["MAX_PIXELS", "OUTPUTS", "Settings", "answer", "export_segmenter"]

# Outputs of an exported model, by default the first two; a segmenter has
# more, see `infer`.
OUTPUTS = ("masks", "confidence", "tokens", "maskige")
_FORMATS = ("tf_saved_model", "onnx")
_SAVED_MODEL = "saved_model.pb"


def export_segmenter(
    segmenter, path, format="tf_saved_model", version=None, **settings
):
    """Export a segmenter as a SavedModel or an ONNX file.

    Args:
        segmenter: A `GenerativeSegmenter` or `DiscriminativeSegmenter`, on
            any backend. Under JAX and PyTorch, a subprocess writes it with
            TensorFlow, which must be installed.
        path: Where to write: a new or empty folder, or a new file that ends
            in `.onnx`.
        format: "tf_saved_model" or "onnx".
        version: None to write into `path` itself; "next" or a number from 1
            for a subfolder of that name, the layout of TensorFlow Serving.
        **settings: See `Settings`.

    Returns:
        A `pathlib.Path` of what was written.

    Raises:
        ValueError: If an argument is malformed or the path exists already.
        ImportError: If a required package is not installed.
        RuntimeError: If TensorFlow or ONNX cannot express the model.
    """
    if format not in _FORMATS:
        raise ValueError(
            f"`format` must be one of {_FORMATS}. Received: format={format!r}"
        )
    known = [field.name for field in dataclasses.fields(Settings)]
    for name in settings:
        if name not in known:
            raise ValueError(
                f"`export` takes {known} beside `format` and `version`; set "
                f"`size` for photos of one size. Received: {name}="
                f"{settings[name]!r}"
            )
    settings = Settings(**settings)
    segmenter.check_outputs(settings.outputs, settings.window)
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


def answer(segmenter, photos, outputs=OUTPUTS, window=None, stride=None):
    """Compute the outputs of an exported model: `segmenter.infer`.

    Args:
        segmenter: A `GenerativeSegmenter` or `DiscriminativeSegmenter`.
        photos: Tensor of shape `(batch, height, width, 3)`, raw RGB 0-255.
        outputs: Names of the outputs.
        window: Height and width in pixels of windows, None for whole photos.
        stride: Vertical and horizontal distance of the windows.

    Returns:
        A dict of the outputs, see `BaseSegmenter.infer`.
    """
    return segmenter.infer(photos, outputs, window or "whole", stride)


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
            "`path` holds a model already. Choose another path or delete it. "
            f"Received: path={str(path)!r}"
        )
    if version is None:
        if path.exists() and any(path.iterdir()):
            raise ValueError(
                "`path` must be a new or empty folder, so that no file is "
                "overwritten. Choose another one, or give `version='next'` if "
                "it holds versions of a model. "
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
            "`version` exists already. Give `version='next'` for the next "
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
            "`version` is for TensorFlow Serving, which does not load ONNX. "
            f"Leave it out. Received: version={version!r}, format='onnx'"
        )


def _check_for_onnx(settings):
    if settings.warmup_sizes or settings.max_batch_size:
        raise ValueError(
            "`warmup_sizes` and `max_batch_size` are for TensorFlow Serving, "
            "which does not load ONNX. Leave them out. Received: "
            f"warmup_sizes={settings.warmup_sizes}, "
            f"max_batch_size={settings.max_batch_size}, format='onnx'"
        )


def _check_packages(format, settings):
    required = {"tensorflow": "tensorflow"}
    if format == "onnx":
        required |= {"onnx": "onnx", "tf2onnx": "onnx"}
    if settings.warmup_sizes:
        required |= {"tensorflow_serving": "serving"}
    for package, extra in required.items():
        if importlib.util.find_spec(package) is None:
            raise ImportError(
                f"This export needs the package `{package}`. Install it with "
                f"`pip install gss-keras[{extra}]`."
            )
