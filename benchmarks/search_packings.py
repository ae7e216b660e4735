"""Searches for better colors than those stored for `maximal_distance`.

Each round of the search draws new starts; what beats the stored colors takes
their place in gss_keras/maskige/packings.json. The stored ones are the best
of about 600 starts for up to 34 classes; of about 10 to 60 for more.

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
# Beside small counts: Cityscapes with all its classes, SUN RGB-D, NYU, Pascal
# Context, Mapillary, COCO panoptic, ADE20K, COCO-Stuff, MSeg.
COUNTS = (*range(2, 33), 34, 37, 40, 59, 60, 65, 66, 100, 124, 133, 150, 171)
COUNTS += (182, 194, 200)


@dataclasses.dataclass(frozen=True)
class Settings:
    """The command line.

    Attributes:
        counts: Numbers of classes to search colors for.
        rounds: How often the default number of starts is drawn.
        first_seed: Seed of the first round; the next ones follow.
    """

    counts: tuple[int, ...] = COUNTS
    rounds: int = 8
    first_seed: int = 0


def main(settings):
    """Improves the stored colors and prints their smallest distances."""
    print("classes  stored   found  seconds")
    for count in settings.counts:
        begin = time.perf_counter()
        before = stored_distance(count)
        for seed in range(settings.rounds):
            colors = palettes.search_colors(
                count, seed=settings.first_seed + seed
            )
            store_if_better(count, colors)
        for colors in larger_stored(count):
            store_if_better(count, colors[:count])
        seconds = time.perf_counter() - begin
        after = stored_distance(count)
        print(
            f"{count:7d} {before:7.3f} {after:7.3f} {seconds:8.1f}", flush=True
        )


def stored_distance(count):
    """Returns the smallest distance of the stored colors, 0 without any."""
    colors = json.loads(FILE.read_text(encoding="utf-8")).get(str(count))
    return 0.0 if colors is None else packing.smallest_distance(colors)


def larger_stored(count):
    """Returns the stored colors for more classes: a part may serve too."""
    stored = json.loads(FILE.read_text(encoding="utf-8"))
    return [stored[key] for key in stored if int(key) > count]


def store_if_better(count, colors):
    """Replaces the stored colors if these are clearly further apart."""
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
