"""Do with TensorFlow, in a process of its own, what other backends cannot."""

import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

# The newest that both the converter and its runtime have known for long.
_OPSET = 18
# How Python's last line of a traceback begins.
_ERROR = re.compile(r"[\w.]+(Error|Exception|Interrupt|Exit)\b")


def write_with_tensorflow(segmenter, folder, settings, is_for_onnx=False):
    """Write a SavedModel of a segmenter that runs on another backend.

    The segmenter is saved as a preset, and a process under TensorFlow loads
    it: weights mean the same on all backends.

    Args:
        segmenter: A `GenerativeSegmenter` or `DiscriminativeSegmenter`.
        folder: Path of an empty or new folder.
        settings: A `Settings`.
        is_for_onnx: Whether it will be converted to ONNX.

    Raises:
        RuntimeError: If that process fails.
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
            "TensorFlow could not write the model. Layers of your own must "
            "come from a module that can be imported, which a notebook or "
            "`__main__` cannot.",
            PYTHONPATH=os.pathsep.join(filter(None, sys.path)),
        )


def convert_to_onnx(saved_model, path):
    """Convert a SavedModel to ONNX.

    Args:
        saved_model: Path of its folder.
        path: Path of the file to write.

    Raises:
        RuntimeError: If the model holds what ONNX cannot express.
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
        "The model could not be made ONNX.",
    )


def _modules(segmenter):
    """Name the modules that a preset's classes come from."""
    layers = segmenter._flatten_layers()
    return sorted({type(layer).__module__ for layer in layers})


def _run(arguments, failure, **variables):
    environment = {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        # This process may hold all memory of the GPUs, and writing needs none.
        "CUDA_VISIBLE_DEVICES": "",
        **variables,
    }
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        raise RuntimeError(f"{failure} It said: {_last_words(done.stderr)}")


def _last_words(text):
    """Leave of what a process wrote only the error that ended it."""
    lines = text.strip().splitlines()
    ends = [i for i, line in enumerate(lines) if _ERROR.match(line)]
    return "\n".join(lines[ends[-1] if ends else -3 :])
