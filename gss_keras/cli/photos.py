"""Find input photos and derive the names of their outputs."""

import collections
import dataclasses
import os
import pathlib

from gss_keras.data.photos import EXTENSIONS


@dataclasses.dataclass(frozen=True)
class Found:
    """Photos that were found in files and folders.

    Attributes:
        photos: Dict from output name, a relative path with `/` between
            folders, usually without extension, to the path of the photo.
        others: Number of files in the folders without a photo's extension.
    """

    photos: dict
    others: int


def find_photos(inputs, output):
    """Find photos in files and, recursively, in folders.

    An input file is accepted with any extension; in folders, only files with
    a photo's extension are. Hidden files and the output folder are skipped.

    Args:
        inputs: Paths of files and folders.
        output: Path of the output folder.

    Returns:
        A `Found`.

    Raises:
        ValueError: If an input does not exist, no photo is found, or two
            photos would get the same output name.
    """
    output, others, found = pathlib.Path(output).absolute(), 0, []
    folders = [path for path in inputs if pathlib.Path(path).is_dir()]
    for given in map(pathlib.Path, inputs):
        if not given.exists():
            raise ValueError(
                "Photos must be existing files or folders. "
                f"Received: {str(given)!r}"
            )
        if given.is_file():
            found.append((pathlib.PurePath(given.name), given))
            continue
        # Several folders may contain photos with the same names.
        prefix = given.absolute().name if len(folders) > 1 else ""
        for path in _walk_files(given, output):
            if path.suffix.lower() in EXTENSIONS:
                found.append((prefix / path.relative_to(given), path))
            else:
                others += 1
    if not found:
        raise ValueError(
            "The inputs must contain a photo, a file with one of the "
            f"extensions {', '.join(EXTENSIONS)}. Received: "
            f"{', '.join(map(str, inputs))} with {others} other files"
        )
    return Found(_by_unique_name(found), others)


def _walk_files(root, output):
    for folder, subfolders, files in os.walk(root):
        folder = pathlib.Path(folder)
        subfolders[:] = sorted(
            name
            for name in subfolders
            if name[0] != "." and (folder / name).absolute() != output
        )
        yield from (folder / n for n in sorted(files) if n[0] != ".")


def _by_unique_name(found):
    """Name photos by relative path, with the extension if it is needed."""
    count = collections.Counter(
        relative.with_suffix("") for relative, _ in found
    )
    photos = {}
    for relative, path in found:
        stem = relative.with_suffix("")
        name = (stem if count[stem] == 1 else relative).as_posix()
        if name in photos:
            raise ValueError(
                "Photos must have different names, since their masks would "
                "overwrite each other. Segment them into separate output "
                f"folders. Received: {photos[name]} and {path}"
            )
        photos[name] = path
    return photos
