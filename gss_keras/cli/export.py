"""`gss-keras export`: export for TensorFlow Serving or ONNX Runtime."""

import dataclasses
import pathlib
from typing import Literal

from gss_keras.cli.command import OK, Command, echo, load_segmenter


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export(Command):
    """Export a segmenter that runs without this package."""

    path: pathlib.Path
    """New or empty folder, or for ONNX a new `.onnx` file."""
    preset: str = "camvid"
    """Folder or name of a preset."""
    format: Literal["tf_saved_model", "onnx"] = "tf_saved_model"
    outputs: tuple[Literal["masks", "confidence", "tokens", "maskige"], ...] = (
        "masks",
        "confidence",
    )
    """Outputs of the exported model."""
    size: tuple[int, int] | None = None
    """Fixed height and width of the photos; dynamic by default."""
    window: tuple[int, int] | Literal["whole"] | None = None
    """Height and width of sliding windows; by default those of the preset."""
    stride: tuple[int, int] | None = None
    """Vertical and horizontal stride of the windows."""
    version: int | Literal["next"] | None = None
    """Version number, written to a subfolder of that name as TensorFlow
    Serving expects; "next" for the latest one plus 1."""
    warmup_sizes: tuple[tuple[int, int], ...] = ()
    """Heights and widths of the warm-up requests of TensorFlow Serving."""
    max_batch_size: int | None = None
    """Maximum batch size of TensorFlow Serving's request batching."""

    def run(self):
        """Export the preset and print the output path."""
        segmenter = load_segmenter(self.preset)
        optional = {
            name: getattr(self, name)
            for name in ("size", "version", "max_batch_size")
            if getattr(self, name) is not None
        }
        if self.warmup_sizes:
            optional["warmup_sizes"] = self.warmup_sizes
        written = segmenter.export(
            self.path,
            format=self.format,
            window=self.window,
            stride=self.stride,
            outputs=self.outputs,
            **optional,
        )
        echo(f"wrote {written}")
        return OK, {"path": str(written), "format": self.format}
