"""Search for colors with a larger minimum distance for `maximal_distance`.

Each round of the search uses new random initializations; colors better than
the stored ones replace them in gss_keras/maskige/packings.json. The stored
colors are the best of about 600 initializations for up to 34 classes, and of
about 10 to 60 for more.

    python benchmarks/search_packings.py --rounds 8 --counts 11 19
"""

import dataclasses
import json
import pathlib
import time

import numpy as np
import tyro

from gss_keras.maskige import packing, palettes

FILE = pathlib.Path(palettes.__file__).with_name("packings.json")
# Small numbers, and those of Cityscapes with all its classes, SUN RGB-D, NYU,
# Pascal Context, Mapillary, COCO panoptic, ADE20K, COCO-Stuff and MSeg.
COUNTS = (*range(2, 33), 34, 37, 40, 59, 60, 65, 66, 100, 124, 133, 150, 171)
COUNTS += (182, 194, 200)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Command-line settings.

    Attributes:
        counts: Numbers of classes to search colors for.
        rounds: Number of rounds, each with the default number of random
            initializations.
        first_seed: Random seed of the first round; later rounds increment it.
    """

    counts: tuple[int, ...] = COUNTS
    rounds: int = 8
    first_seed: int = 0


def main(settings):
    """Improve the stored colors and print their minimum distances."""
    print("classes  stored    best  seconds")
    for count in settings.counts:
        start = time.perf_counter()
        before = stored_distance(count)
        for seed in range(settings.rounds):
            colors = palettes.search_colors(
                count, seed=settings.first_seed + seed
            )
            store_if_better(count, colors)
        for colors in larger_stored(count):
            store_if_better(count, colors[:count])
        seconds = time.perf_counter() - start
        after = stored_distance(count)
        print(
            f"{count:7d} {before:7.3f} {after:7.3f} {seconds:8.1f}", flush=True
        )


def stored_distance(count):
    """Return the minimum distance of the stored colors, 0 without any."""
    colors = json.loads(FILE.read_text(encoding="utf-8")).get(str(count))
    return 0.0 if colors is None else packing.smallest_distance(colors)


def larger_stored(count):
    """Return the stored colors for more classes; a prefix may be better."""
    stored = json.loads(FILE.read_text(encoding="utf-8"))
    return [stored[key] for key in stored if int(key) > count]


def store_if_better(count, colors):
    """Store colors if their minimum distance is clearly larger."""
    if packing.smallest_distance(colors) < stored_distance(count) + 0.002:
        return
    stored = json.loads(FILE.read_text(encoding="utf-8"))
    stored[str(count)] = np.asarray(colors).tolist()
    lines = [
        f'"{key}": {json.dumps(stored[key])}' for key in sorted(stored, key=int)
    ]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(tyro.cli(Settings))
