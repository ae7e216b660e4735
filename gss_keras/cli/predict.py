"""`gss-keras predict`: segment files and folders of photos."""

import contextlib
import dataclasses
import json
import os
import pathlib
import sys
import time
from typing import Literal

import keras
import numpy as np

from gss_keras import presets, visualize
from gss_keras.cli.command import (
    OK,
    SOME_SKIPPED,
    Command,
    echo,
    load_segmenter,
)
from gss_keras.cli.photos import find_photos
from gss_keras.cli.sizes import common_sizes, pad, whole_size
from gss_keras.data.photos import photo_size, read_any_photo
from gss_keras.maskige import palettes

_MAX_UINT8_CLASSES = 256
# JAX compiles the model for each size, which takes seconds for a small one.
_MAX_JAX_SIZES = 4
_ENDINGS = {"masks": ".png", "colors": ".png", "overlays": ".jpg"}
_SETTINGS, _BAD_FILES, _LEGEND = "settings.json", "bad_files.txt", "legend.png"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predict(Command):
    """Segment files and folders of photos of any size.

    Writes masks of class ids, color masks and overlays on the photos, each
    into its own folder, and legend.png. Run the same command again to resume
    where it stopped. Unreadable files are reported, listed in bad_files.txt
    and skipped; the exit status is then 2.
    """

    photos: tuple[pathlib.Path, ...]
    """Files, and folders, which are searched recursively."""
    preset: str = "camvid"
    """Folder or name of a preset."""
    output: pathlib.Path = pathlib.Path("outputs/predictions")
    """Folder for the results."""
    write: tuple[Literal["masks", "colors", "overlays"], ...] = tuple(_ENDINGS)
    """Outputs to write: class ids as PNG (16-bit for more than 256 classes),
    colors as PNG, overlays as JPEG."""
    palette: str | None = None
    """Colors of the classes: "cityscapes", "ade20k", "mseg", "camvid" or a
    JSON file; by default those of the data set with the preset's classes, if
    any, else the preset's palette."""
    opacity: float = 0.5
    """Opacity of the mask in overlays, from 0 to 1."""
    max_side: int = 2048
    """Maximum side in pixels. Larger photos are downscaled and their masks
    upscaled to the original size, which limits memory and time."""
    window: tuple[int, int] | Literal["whole"] | None = None
    """Height and width of sliding windows; by default those of the preset."""
    stride: tuple[int, int] | None = None
    """Vertical and horizontal stride of the windows."""
    sizes: int | None = None
    """Maximum number of different sizes that photos are padded to; 0 turns
    padding off. By default, photos are padded to multiples of 32, and on JAX,
    which compiles for each size, to at most 4 sizes."""
    overwrite: bool = False
    """Start over and overwrite existing results."""

    def run(self):
        """Segment the photos, write the results and print a summary."""
        start = time.monotonic()
        self._check()
        found = find_photos(self.photos, self.output)
        self._check_and_save_settings()
        todo = {
            name: path
            for name, path in found.photos.items()
            if self.overwrite or not self._is_done(name, path)
        }
        skipped = self._segment(todo, found.photos) if todo else []
        done = len(todo) - len(skipped)
        self._list_bad_files(skipped)
        report = {
            "output": str(self.output),
            "photos": len(found.photos),
            "segmented": done,
            "done_before": len(found.photos) - len(todo),
            "other_files": found.others,
            "skipped": skipped,
            "seconds": round(time.monotonic() - start, 2),
        }
        _echo_report(report)
        return SOME_SKIPPED if skipped else OK, report

    def _segment(self, todo, photos):
        """Segment photos one by one; return the unreadable ones."""
        segmenter = load_segmenter(self.preset)
        colors = self._colors(segmenter)
        picture = visualize.legend(colors, segmenter.classes)
        visualize.save(picture, self.output / _LEGEND)
        padded_size = self._padding(photos, segmenter)
        # Without a terminal, each update of the bar prints a new line.
        interval = 0.5 if sys.stdout.isatty() else 60
        progress = keras.utils.Progbar(
            len(todo), interval=interval, unit_name="photo"
        )
        skipped = []
        for name, path in todo.items():
            try:
                photo = read_any_photo(path)
            except ValueError as error:
                skipped.append({"file": str(path), "reason": str(error)})
            else:
                mask = self._mask(segmenter, photo, padded_size)
                self._write(name, photo, mask, colors)
            progress.add(1)
        return skipped

    def _mask(self, segmenter, photo, padded_size):
        """Return the mask of a photo, int32 of shape `(height, width)`."""
        height, width = photo.shape[:2]
        small = _limited_size((height, width), self.max_side)
        if small != (height, width):
            photo = _downscale(photo, small)
        padded = pad(photo, padded_size(small))
        mask = segmenter.predict(
            padded, window=self.window, stride=self.stride
        )[: small[0], : small[1]]
        if small == (height, width):
            return mask
        # Nearest-neighbor upsampling with half-pixel centers.
        rows = (np.arange(height) + 0.5) * small[0] / height
        columns = (np.arange(width) + 0.5) * small[1] / width
        return mask[rows.astype(int)][:, columns.astype(int)]

    def _padding(self, photos, segmenter):
        """Return a function that maps a photo's size to its padded size."""
        window = segmenter.window if self.window is None else self.window
        if self.sizes == 0:
            return lambda size: size
        if window not in (None, "whole"):
            # Padded to at least the window, all windows have the same size.
            return lambda size: tuple(map(max, size, window))
        max_sizes = self.sizes
        if max_sizes is None and keras.backend.backend() == "jax":
            max_sizes = _MAX_JAX_SIZES
        if max_sizes is None:
            return whole_size
        sizes = []
        for path in photos.values():
            # An unreadable photo is reported later, when it is segmented.
            with contextlib.suppress(ValueError):
                sizes.append(_limited_size(photo_size(path), self.max_side))
        padded = common_sizes(sizes, max_sizes)
        return lambda size: padded.get(size) or whole_size(size)

    def _write(self, name, photo, mask, colors):
        for kind in self.write:
            if kind == "masks":
                is_uint8 = len(colors) <= _MAX_UINT8_CLASSES
                picture = mask.astype("uint8" if is_uint8 else "uint16")
            elif kind == "colors":
                picture = visualize.paint(mask, colors)
            else:
                picture = visualize.overlay(photo, mask, colors, self.opacity)
            visualize.save(picture, self._path(kind, name))

    def _path(self, kind, name):
        return self.output / kind / f"{name}{_ENDINGS[kind]}"

    def _is_done(self, name, path):
        """Return whether all outputs exist and are newer than the photo."""
        try:
            modified = path.stat().st_mtime_ns
            return all(
                self._path(kind, name).stat().st_mtime_ns >= modified
                for kind in self.write
            )
        except FileNotFoundError:
            return False

    def _colors(self, segmenter):
        if self.palette is None:
            return visualize.colors_for(segmenter)
        is_file = pathlib.Path(self.palette).is_file()
        colors = (palettes.load if is_file else palettes.named)(self.palette)
        if len(colors) != segmenter.num_classes:
            raise ValueError(
                "`palette` must have a color for each of the preset's "
                f"{segmenter.num_classes} classes. Received: {self.palette} "
                f"with {len(colors)} colors"
            )
        return colors

    def _check(self):
        if not self.photos:
            raise ValueError(
                "`photos` must contain at least one file or folder. "
                "Received: none"
            )
        if not self.write:
            raise ValueError(
                "`write` must contain at least one output. Received: none"
            )
        if not 0 <= self.opacity <= 1:
            raise ValueError(
                "`opacity` must be between 0 and 1. "
                f"Received: opacity={self.opacity}"
            )
        if self.max_side < 1 or (self.sizes or 0) < 0:
            raise ValueError(
                "`max_side` must be at least 1 and `sizes` at least 0. "
                f"Received: max_side={self.max_side}, sizes={self.sizes}"
            )

    def _check_and_save_settings(self):
        """Save the settings; raise ValueError if they differ from before."""
        weights = presets.find(self.preset) / "model.weights.h5"
        settings = {
            "preset": self.preset,
            "weights": weights.stat().st_mtime_ns if weights.exists() else None,
            "palette": self.palette,
            "opacity": self.opacity,
            "max_side": self.max_side,
            "window": self.window,
            "stride": self.stride,
            "sizes": self.sizes,
        }
        text = json.dumps(settings, indent=1)
        path = self.output / _SETTINGS
        if path.exists() and not self.overwrite:
            saved = json.loads(path.read_text(encoding="utf-8"))
            changed = [
                name
                for name, value in json.loads(text).items()
                if value != saved.get(name)
            ]
            if changed:
                raise ValueError(
                    f"{self.output} contains masks of other settings: "
                    f"{', '.join(changed)} differ from {path}. Choose another "
                    "`--output`, or start over with `--overwrite`."
                )
        self.output.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(text + "\n", encoding="utf-8")
        os.replace(partial, path)

    def _list_bad_files(self, skipped):
        path = self.output / _BAD_FILES
        lines = ["\t".join(entry.values()) + "\n" for entry in skipped]
        if lines:
            path.write_text("".join(lines), encoding="utf-8")
        else:
            path.unlink(missing_ok=True)


def _echo_report(report):
    for entry in report["skipped"]:
        print(  # noqa: T201
            f"skipped {entry['file']}: {entry['reason']}", file=sys.stderr
        )
    echo(
        f"{report['segmented']} segmented, {report['done_before']} already "
        f"done, {len(report['skipped'])} skipped, in {report['output']}"
    )
    if report["other_files"]:
        echo(f"{report['other_files']} files ignored: no photo extension")


def _limited_size(size, max_side):
    """Scale a height and width down to a maximum side."""
    factor = min(1, max_side / max(size))
    return tuple(max(1, round(side * factor)) for side in size)


def _downscale(photo, size):
    """Downscale a photo, bilinear and antialiased."""
    from PIL import Image

    picture = Image.fromarray(photo)
    return np.asarray(
        picture.resize(size[::-1], Image.Resampling.BILINEAR, reducing_gap=3)
    )
