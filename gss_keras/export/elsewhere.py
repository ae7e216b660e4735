"""Run TensorFlow in a subprocess, for exports from other backends."""

import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from gss_keras.ops.private import flatten_layers

# Supported by both tf2onnx and ONNX Runtime for years.
_OPSET = 18
# Start of the last line of a Python traceback.
_ERROR = re.compile(r"[\w.]+(Error|Exception|Interrupt|Exit)\b")


def write_with_tensorflow(segmenter, folder, settings, is_for_onnx=False):
    """Write a SavedModel of a segmenter of another backend.

    The segmenter is saved as a preset, which a TensorFlow process loads:
    weights are the same on all backends.

    Args:
        segmenter: A `GenerativeSegmenter` or `DiscriminativeSegmenter`.
        folder: Path of an empty or new folder.
        settings: A `Settings`.
        is_for_onnx: Whether it will be converted to ONNX.

    Raises:
        RuntimeError: If the subprocess fails.
    """
    with tempfile.TemporaryDirectory() as temporary:
        preset = pathlib.Path(temporary, "preset")
        segmenter.save_to_preset(preset)
        request = {
            "preset": str(preset),
            "folder": str(folder),
            "modules": _modules(segmenter),
            "settings": dataclasses.asdict(settings),
            "is_for_onnx": is_for_onnx,
        }
        path = pathlib.Path(temporary, "request.json")
        path.write_text(json.dumps(request))
        _run(
            ["gss_keras.export", str(path)],
            "TensorFlow could not write the model. Custom layers must be "
            "defined in an importable module, not in a notebook or in "
            "`__main__`.",
            PYTHONPATH=os.pathsep.join(filter(None, sys.path)),
        )


def convert_to_onnx(saved_model, path):
    """Convert a SavedModel to ONNX.

    Args:
        saved_model: Path of its folder.
        path: Path of the file to write.

    Raises:
        RuntimeError: If ONNX cannot express the model.
    """
    options = {
        "--saved-model": saved_model,
        "--signature_def": "serving_default",
        "--output": path,
        "--opset": _OPSET,
    }
    arguments = [str(part) for pair in options.items() for part in pair]
    _run(
        ["gss_keras.export.onnx_converter", *arguments],
        "The model could not be converted to ONNX.",
    )


def _modules(segmenter):
    """Return the names of the modules that define a model's classes."""
    layers = flatten_layers(segmenter)
    return sorted({type(layer).__module__ for layer in layers})


def _run(arguments, failure, **variables):
    environment = {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        # This process may have allocated all GPU memory; exporting needs none.
        "CUDA_VISIBLE_DEVICES": "",
        **variables,
    }
    process = subprocess.run(
        [sys.executable, "-m", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if process.returncode:
        raise RuntimeError(f"{failure} Its error: {_error_of(process.stderr)}")


def _error_of(text):
    """Return the last error of a traceback."""
    lines = text.strip().splitlines()
    ends = [i for i, line in enumerate(lines) if _ERROR.match(line)]
    return "\n".join(lines[ends[-1] if ends else -3 :])
