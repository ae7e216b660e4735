"""Find the photos that a user named, and names for what is made of them."""

import collections
import dataclasses
import os
import pathlib

from gss_keras.data.photos import ENDINGS


@dataclasses.dataclass(frozen=True)
class Found:
    """What the files and folders of a command hold.

    Attributes:
        photos: Dict from a name without ending, `/` between folders, to the
            path of a photo.
        others: Number of files in the folders that do not end like photos.
    """

    photos: dict
    others: int


def find_photos(inputs, output):
    """List photos, those in folders of folders included.

    A file that was named is taken whatever its ending; in a folder, only
    those are that end like photos. Hidden files and the output folder are
    passed over.

    Args:
        inputs: Paths of files and folders.
        output: Path of the folder that results go into.

    Returns:
        A `Found`.

    Raises:
        ValueError: If an input does not exist, there is no photo, or two
            would get the same name.
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
        # Several folders may hold photos of the same names.
        above = given.absolute().name if len(folders) > 1 else ""
        for path in _files_in(given, output):
            if path.suffix.lower() in ENDINGS:
                found.append((above / path.relative_to(given), path))
            else:
                others += 1
    if not found:
        raise ValueError(
            f"There must be a photo, a file that ends in {', '.join(ENDINGS)}. "
            f"Received: {', '.join(map(str, inputs))} with {others} other files"
        )
    return Found(_named(found), others)


def _files_in(folder, output):
    for place, folders, files in os.walk(folder):
        place = pathlib.Path(place)
        folders[:] = sorted(
            name
            for name in folders
            if name[0] != "." and (place / name).absolute() != output
        )
        yield from (place / n for n in sorted(files) if n[0] != ".")


def _named(found):
    """Name photos by their place, with the ending where it is needed."""
    count = collections.Counter(place.with_suffix("") for place, _ in found)
    photos = {}
    for place, path in found:
        short = place.with_suffix("")
        name = (short if count[short] == 1 else place).as_posix()
        if name in photos:
            raise ValueError(
                "No two photos may have the same name, since their masks "
                "would be one file. Segment them in two calls. Received: "
                f"{photos[name]} and {path}"
            )
        photos[name] = path
    return photos
