"""`gss-keras export`: a model for TensorFlow Serving or ONNX Runtime."""

import dataclasses
import pathlib
from typing import Literal

from gss_keras.cli.command import OK, Command, load_segmenter, say


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export(Command):
    """Write a model that runs where this package is not installed."""

    path: pathlib.Path
    """A new or empty folder, or for ONNX a new file in `.onnx`."""
    preset: str = "camvid"
    """Folder or name of a preset."""
    format: Literal["tf_saved_model", "onnx"] = "tf_saved_model"
    outputs: tuple[Literal["masks", "confidence", "tokens", "maskige"], ...] = (
        "masks",
        "confidence",
    )
    """What it answers for each photo."""
    size: tuple[int, int] | None = None
    """Height and width that every photo must have; any by default."""
    window: tuple[int, int] | Literal["whole"] | None = None
    """Height and width of windows; by default as the preset was made."""
    stride: tuple[int, int] | None = None
    version: int | Literal["next"] | None = None
    """Write into a folder of that number, as TensorFlow Serving reads it."""
    warmup_sizes: tuple[tuple[int, int], ...] = ()
    """Heights and widths of photos that TensorFlow Serving tries out first."""
    max_batch_size: int | None = None
    """Most photos that TensorFlow Serving answers together."""

    def run(self):
        """Export and say where to."""
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
        say(f"wrote {written}")
        return OK, {"path": str(written), "format": self.format}
