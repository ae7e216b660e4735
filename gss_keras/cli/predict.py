"""`gss-keras predict`: masks of files and folders of photos."""

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
    load_segmenter,
    say,
)
from gss_keras.cli.photos import find_photos
from gss_keras.cli.sizes import common_sizes, pad, whole_size
from gss_keras.data.photos import photo_size, read_any_photo
from gss_keras.maskige import palettes

_LARGEST_BYTE = 256
# For each of which JAX compiles the model, seconds for a small one.
_COMPILED_SIZES = 4
_ENDINGS = {"masks": ".png", "colors": ".png", "overlays": ".jpg"}
_SETTINGS, _BAD_FILES, _LEGEND = "settings.json", "bad_files.txt", "legend.png"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predict(Command):
    """Segment photos, in files or folders, of any sizes.

    Writes masks of class ids, masks in colors, and photos with their masks
    over them, each kind into a folder of its own, and legend.png. The same
    command given again goes on where it stopped. Files that cannot be read
    are named, listed in bad_files.txt and skipped: the exit status is then 2.
    """

    photos: tuple[pathlib.Path, ...]
    """Files, and folders with all that is in them."""
    preset: str = "camvid"
    """Folder or name of a preset."""
    output: pathlib.Path = pathlib.Path("outputs/predictions")
    """Folder for the results."""
    write: tuple[Literal["masks", "colors", "overlays"], ...] = tuple(_ENDINGS)
    """What to write: class ids as PNG (of 16 bits from 257 classes on), colors
    as PNG, overlays as JPEG."""
    palette: str | None = None
    """Colors to show classes in: "cityscapes", "ade20k", "mseg", "camvid" or a
    JSON file; by default those of the data set whose classes the preset has,
    else its own."""
    opacity: float = 0.5
    """Weight of the mask in an overlay."""
    max_side: int = 2048
    """Longest side in pixels that a photo is segmented in; the mask of a
    larger one is enlarged to its size. It bounds memory and time."""
    window: tuple[int, int] | Literal["whole"] | None = None
    """Height and width of windows; by default as the preset was made."""
    stride: tuple[int, int] | None = None
    sizes: int | None = None
    """Pad photos to at most so many sizes; 0 leaves them as they are. By
    default to the next multiples of 32, and with JAX, which compiles for each
    size, to 4 sizes."""
    overwrite: bool = False
    """Begin anew, and replace what is there."""

    def run(self):
        """Segment, write and say what was done."""
        start = time.monotonic()
        self._check()
        found = find_photos(self.photos, self.output)
        self._remember_settings()
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
        _say(report)
        return SOME_SKIPPED if skipped else OK, report

    def _segment(self, todo, photos):
        """Segment photos one by one; return those that cannot be read."""
        segmenter = load_segmenter(self.preset)
        colors = self._colors(segmenter)
        picture = visualize.legend(colors, segmenter.classes)
        visualize.save(picture, self.output / _LEGEND)
        padded_size = self._padding(photos, segmenter)
        # Where a bar cannot move, each of its states is a line.
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
        """Segment a photo; int32 `(height, width)` of the photo's size."""
        height, width = photo.shape[:2]
        small = _shrunk((height, width), self.max_side)
        if small != (height, width):
            photo = _resized(photo, small)
        padded = pad(photo, padded_size(small))
        mask = segmenter.predict(
            padded, window=self.window, stride=self.stride
        )[: small[0], : small[1]]
        if small == (height, width):
            return mask
        # The nearest pixel's class; half pixels as any resizing has them.
        rows = (np.arange(height) + 0.5) * small[0] / height
        columns = (np.arange(width) + 0.5) * small[1] / width
        return mask[rows.astype(int)][:, columns.astype(int)]

    def _padding(self, photos, segmenter):
        """Return a function from the size of a photo to its padded size."""
        window = segmenter.window if self.window is None else self.window
        if self.sizes == 0:
            return lambda size: size
        if window not in (None, "whole"):
            # All windows of a photo that is no smaller have one size.
            return lambda size: tuple(map(max, size, window))
        most = self.sizes
        if most is None and keras.backend.backend() == "jax":
            most = _COMPILED_SIZES
        if most is None:
            return whole_size
        sizes = []
        for path in photos.values():
            # A photo that cannot be read is named when its turn comes.
            with contextlib.suppress(ValueError):
                sizes.append(_shrunk(photo_size(path), self.max_side))
        padded = common_sizes(sizes, most)
        return lambda size: padded.get(size) or whole_size(size)

    def _write(self, name, photo, mask, colors):
        for kind in self.write:
            if kind == "masks":
                is_byte = len(colors) <= _LARGEST_BYTE
                picture = mask.astype("uint8" if is_byte else "uint16")
            elif kind == "colors":
                picture = visualize.paint(mask, colors)
            else:
                picture = visualize.overlay(photo, mask, colors, self.opacity)
            visualize.save(picture, self._path(kind, name))

    def _path(self, kind, name):
        return self.output / kind / f"{name}{_ENDINGS[kind]}"

    def _is_done(self, name, path):
        """Say whether all is there, and made after the photo."""
        try:
            changed = path.stat().st_mtime_ns
            return all(
                self._path(kind, name).stat().st_mtime_ns >= changed
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
                f"`palette` must have the {segmenter.num_classes} colors of "
                f"the preset's classes. Received: {self.palette} with "
                f"{len(colors)}"
            )
        return colors

    def _check(self):
        if not self.photos:
            raise ValueError("Give files or folders of photos. Received: none")
        if not self.write:
            raise ValueError("`write` must name what to write. Received: none")
        if not 0 <= self.opacity <= 1:
            raise ValueError(
                "`opacity` must be from 0 to 1. "
                f"Received: opacity={self.opacity}"
            )
        if self.max_side < 1 or (self.sizes or 0) < 0:
            raise ValueError(
                "`max_side` must be at least 1 and `sizes` at least 0. "
                f"Received: max_side={self.max_side}, sizes={self.sizes}"
            )

    def _remember_settings(self):
        """Refuse to go on with results that other settings gave."""
        weights = presets.find(self.preset) / "model.weights.h5"
        now = {
            "preset": self.preset,
            "weights": weights.stat().st_mtime_ns if weights.exists() else None,
            "palette": self.palette,
            "opacity": self.opacity,
            "max_side": self.max_side,
            "window": self.window,
            "stride": self.stride,
            "sizes": self.sizes,
        }
        now = json.loads(json.dumps(now))
        path = self.output / _SETTINGS
        if path.exists() and not self.overwrite:
            then = json.loads(path.read_text(encoding="utf-8"))
            changed = [name for name in now if now[name] != then.get(name)]
            if changed:
                raise ValueError(
                    f"{self.output} holds masks that were made with other "
                    f"settings: {', '.join(changed)} differ from {path}. "
                    "Choose another `--output`, or give `--overwrite` to "
                    "begin anew."
                )
        self.output.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
        os.replace(partial, path)

    def _list_bad_files(self, skipped):
        path = self.output / _BAD_FILES
        lines = ["\t".join(one.values()) + "\n" for one in skipped]
        if lines:
            path.write_text("".join(lines), encoding="utf-8")
        else:
            path.unlink(missing_ok=True)


def _say(report):
    for one in report["skipped"]:
        print(  # noqa: T201
            f"skipped {one['file']}: {one['reason']}", file=sys.stderr
        )
    say(
        f"{report['segmented']} segmented, {report['done_before']} done "
        f"before, {len(report['skipped'])} skipped, in {report['output']}"
    )
    if report["other_files"]:
        say(f"{report['other_files']} files do not end like photos")


def _shrunk(size, max_side):
    """Return the height and width in which a photo is segmented."""
    factor = min(1, max_side / max(size))
    return tuple(max(1, round(side * factor)) for side in size)


def _resized(photo, size):
    """Shrink a photo smoothly."""
    from PIL import Image

    picture = Image.fromarray(photo)
    return np.asarray(
        picture.resize(size[::-1], Image.Resampling.BILINEAR, reducing_gap=3)
    )
