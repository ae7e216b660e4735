"""Write the SavedModel that a process under another backend asks for."""

import contextlib
import importlib
import json
import pathlib
import sys

from gss_keras.export.saved_model import write_saved_model
from gss_keras.export.settings import Settings
from gss_keras.models.base_segmenter import BaseSegmenter


def main(path):
    """Read a request of `write_with_tensorflow` and do what it says.

    Args:
        path: Path of its JSON.
    """
    request = json.loads(pathlib.Path(path).read_text())
    for module in request["modules"]:
        # What is missing will be missed where the preset is built.
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    write_saved_model(
        BaseSegmenter.from_preset(request["preset"]),
        request["folder"],
        Settings(**request["settings"]),
        request["is_for_onnx"],
    )


if __name__ == "__main__":
    main(sys.argv[1])
