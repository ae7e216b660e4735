"""Street scenes as a data source, rendered on access or to files."""

import concurrent.futures
import json
import multiprocessing
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from gss_keras.constants import IGNORE_LABEL
from gss_keras.data.sources import Folders
from gss_keras.synthetic.streets.scene import CLASSES, draw_scene

# Version of the renderer: increment it whenever the scenes change.
_EDITION = 1


class Streets:
    """Render street scenes on access; a source for `batches`.

    Scene `i` is a deterministic function of the seed and the size, the same
    for any `count` and on every machine.

    Args:
        count: Number of scenes.
        seed: Random seed of all scenes, an int of at least 0. Different seeds
            give independent scenes.
        size: Height and width of the photos, at least 16.

    Attributes:
        classes: Tuple of the class names.
        num_classes: Number of classes.
        ignore_label: 255. No pixel of a synthetic mask is unlabeled.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> scenes = Streets(count=2, seed=0, size=(32, 48))
        >>> scenes[1]["mask"].shape, scenes.classes[:3]
        ((32, 48), ('sky', 'building', 'road'))
    """

    classes = CLASSES
    num_classes = len(CLASSES)
    ignore_label = IGNORE_LABEL

    def __init__(self, count, seed=0, size=(128, 192)):
        for argument, value, expected, lowest in (
            ("count", count, "an int", 1),
            ("seed", seed, "an int", 0),
            *(("size", side, "a pair of ints", 16) for side in size),
        ):
            if not isinstance(value, int) or value < lowest:
                raise ValueError(
                    f"`{argument}` must be {expected} of at least {lowest}. "
                    f"Received: {argument}={value!r}"
                )
        self.count = count
        self.seed = seed
        self.size = tuple(size)

    def __len__(self):
        """Return the number of scenes."""
        return self.count

    def __getitem__(self, index):
        """Render one scene.

        Args:
            index: Position, an int in `[0, len(self))`.

        Returns:
            A dict: `"photo"`, uint8 `(*size, 3)`, 0-255 RGB; `"mask"`, int32
            `size`, class ids; `"name"`, a str.
        """
        if not 0 <= index < self.count:
            raise IndexError(
                f"`index` must be at least 0 and below {self.count}. "
                f"Received: index={index}"
            )
        generator = np.random.default_rng([self.seed, index])
        photo, mask = draw_scene(generator, self.size)
        name = f"{index:05d}"
        return {"photo": photo, "mask": mask.astype("int32"), "name": name}


def draw(folder, count, seed=0, size=(128, 192), workers=0):
    """Render street scenes to a folder of photos and masks.

    The folder contains `images/*.png`, `masks/*.png` with one channel of
    class ids, `classes.txt` with one name per line, and `streets.json` with
    the arguments. It is written atomically. An existing folder with the same
    arguments is reused.

    Args:
        folder: Path of the folder to write; its parents are created.
        count: Number of scenes.
        seed: Random seed of all scenes, an int of at least 0.
        size: Height and width of the photos, at least 16.
        workers: Number of worker processes; 0 renders in the main process.
            The scenes do not depend on it.

    Returns:
        A `Folders` source of the scenes.

    Raises:
        ValueError: If an argument is out of range, or if the folder exists
            with other contents.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp() + "/streets"
        >>> source = draw(folder, count=1, seed=0, size=(32, 48))
        >>> source.num_classes, source.names
        (9, ('00000',))
    """
    scenes = Streets(count, seed, size)
    folder = Path(folder)
    origin = {
        "edition": _EDITION,
        "count": count,
        "seed": seed,
        "size": list(size),
    }
    if folder.exists():
        _check_origin(folder, origin)
        return _open(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".streets-"))
    try:
        _write(scenes, partial, workers)
        (partial / "classes.txt").write_text("\n".join(CLASSES) + "\n")
        (partial / "streets.json").write_text(json.dumps(origin) + "\n")
        partial.chmod(0o755)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return _open(folder)


def _open(folder):
    """Return the source of a folder of rendered scenes."""
    return Folders(folder / "images", folder / "masks", folder / "classes.txt")


def _check_origin(folder, origin):
    """Raise ValueError unless a folder was written with equal arguments."""
    path = folder / "streets.json"
    try:
        existing = json.loads(path.read_text())
    except (OSError, ValueError):
        existing = None
    if existing != origin:
        raise ValueError(
            "`folder` must not exist yet, or contain the requested scenes, "
            f"{origin}. Received: folder={str(folder)!r} with "
            f"{existing if existing is not None else 'other files'}. "
            "Choose another folder or delete this one."
        )


def _write(scenes, folder, workers):
    """Write all scenes of a source to PNG files."""
    for name in ("images", "masks"):
        (folder / name).mkdir()
    if not workers:
        for index in range(len(scenes)):
            _write_scene(scenes, folder, index)
        return
    with concurrent.futures.ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn")
    ) as pool:
        futures = [
            pool.submit(_write_scene, scenes, folder, index)
            for index in range(len(scenes))
        ]
        for future in futures:
            future.result()


def _write_scene(scenes, folder, index):
    """Write one scene to PNG files."""
    from PIL import Image

    scene = scenes[index]
    name = scene["name"] + ".png"
    photo = Image.fromarray(scene["photo"])
    photo.save(folder / "images" / name, compress_level=3)
    mask = Image.fromarray(scene["mask"].astype("uint8"))
    mask.save(folder / "masks" / name)
