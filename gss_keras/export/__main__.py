"""Write the SavedModel that a process with another backend requests."""

import contextlib
import importlib
import json
import pathlib
import sys

from gss_keras.export.saved_model import write_saved_model
from gss_keras.export.settings import Settings
from gss_keras.saving.presets import PresetMixin


def main(path):
    """Execute a request of `write_with_tensorflow`.

    Args:
        path: Path of its JSON file.
    """
    request = json.loads(pathlib.Path(path).read_text())
    for module in request["modules"]:
        # If a class is missing, building the preset fails with its name.
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    write_saved_model(
        PresetMixin.from_preset(request["preset"]),
        request["folder"],
        Settings(**request["settings"]),
        request["is_for_onnx"],
    )


if __name__ == "__main__":
    main(sys.argv[1])
