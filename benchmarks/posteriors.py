"""Train and evaluate every variant of stage I on CamVid.

Either with CamVid's 11 classes, or with every connected component of a mask
relabeled as one of 150 classes. Each row is a run of
`recipes/train_posterior.py`, which writes its posterior and a figure into the
output folder:

    KERAS_BACKEND=tensorflow python benchmarks/posteriors.py --camvid CamVid

With `--by-class`, each of the 11 classes is relabeled to a disjoint subset of
the 150 ids, so that an id has the same meaning in train and val masks. The
palette search, which only uses train masks, needs that to generalize.
"""

import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys
import time

import numpy as np
import tyro
from PIL import Image
from reconstruction import IGNORE, read_masks, rename_components

RECIPE = pathlib.Path(__file__).parents[1] / "recipes" / "train_posterior.py"
# Steps and batch sizes that take a few minutes on two cores.
LENGTHS = {
    "ff-r": (0, 8),
    "ff": (0, 8),
    "ft": (200, 8),
    "ft-w": (200, 4),
    "tf": (100, 8),
    "tt": (200, 8),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """Command-line settings."""

    camvid: pathlib.Path
    """Folder of CamVid in the layout of the SegNet tutorial."""
    output: pathlib.Path = pathlib.Path("outputs/posteriors")
    variants: tuple[str, ...] = tuple(LENGTHS)
    num_classes: int = 11
    """Number of classes; above 11, connected components are relabeled."""
    by_class: bool = False
    """Relabel each class to a disjoint subset of ids."""
    search: bool = False
    """Also search for a palette and evaluate it as FF."""
    search_masks: int = 40
    """Number of train masks for the palette search."""
    noise: float = 0.0
    """Scale of the Gumbel noise of variants with a learned palette."""
    seed: int = 0


def write_components(settings, folder):
    """Write CamVid with relabeled components in the layout of `Folders`."""
    names = "".join(f"{number}\n" for number in range(settings.num_classes))
    for seed, split in enumerate(("val", "train")):
        masks = read_masks(settings.camvid / f"{split}annot")
        masks = rename_components(
            masks, settings.num_classes, seed=seed, by_class=settings.by_class
        )
        for part in ("images", "masks"):
            (folder / split / part).mkdir(parents=True, exist_ok=True)
        (folder / split / "classes.txt").write_text(names)
        photos = sorted((settings.camvid / split).glob("*.png"))
        for photo, mask in zip(photos, masks, strict=True):
            shutil.copy(photo, folder / split / "images")
            mask = Image.fromarray(mask.astype("uint8"))
            mask.save(folder / split / "masks" / photo.name)


def search(settings, folder, path):
    """Run the palette search on a subset of train masks; return seconds."""
    import gss_keras
    from gss_keras import palette_search, palettes

    files = sorted(folder.glob("*.png"))
    indices = np.linspace(0, len(files) - 1, settings.search_masks).astype(int)
    masks = np.stack([np.array(Image.open(files[i])) for i in indices])
    masks[masks >= settings.num_classes] = IGNORE
    start = time.monotonic()
    result = palette_search.search_palette(
        gss_keras.DiscreteVAE.from_preset("maskige"),
        masks.astype("int32"),
        settings.num_classes,
        seed=settings.seed,
        allow_shared_colors=True,
    )
    palettes.save(result.palette, path)
    print(
        f"palette search on {len(masks)} train masks: mIoU "
        f"{result.start_mIoU:.2f} -> {result.mIoU:.2f}"
    )
    return time.monotonic() - start


def measure(settings, variant, data_arguments, palette=None):
    """Run the recipe for a variant and return its scores."""
    steps, batch_size = LENGTHS[variant]
    name = variant if palette is None else f"{variant}-searched"
    output = settings.output / str(settings.num_classes) / name
    command = [
        *(sys.executable, RECIPE, "--variant", variant),
        *("--output", output, "--steps", max(1, steps)),
        *("--batch-size", batch_size, "--token-noise", settings.noise),
        *("--seed", settings.seed),
        *data_arguments,
        *(("--palette", palette) if palette else ()),
    ]
    subprocess.run([str(part) for part in command], check=True)
    return json.loads((output / "scores.json").read_text())


def main(settings):
    """Print a row for each variant."""
    data_arguments = ("--dataset", "camvid", "--data-dir", settings.camvid)
    train_masks = settings.camvid / "trainannot"
    if settings.num_classes > 11:
        folder = settings.output / f"components_{settings.num_classes}"
        write_components(settings, folder)
        data_arguments = ("--dataset", "folders", "--data-dir", folder)
        train_masks = folder / "train" / "masks"
    rows = []
    for variant in settings.variants:
        rows.append((variant, measure(settings, variant, data_arguments)))
    if settings.search:
        palette = settings.output / f"searched_{settings.num_classes}.json"
        seconds = search(settings, train_masks, palette)
        scores = measure(settings, "ff", data_arguments, palette)
        rows.append(("ff, searched", scores | {"seconds": seconds}))
    print("| variant | mIoU | worst class | parameters | seconds |")
    print("|---|---|---|---|---|")
    for name, scores in rows:
        worst = np.nanmin(list(scores["class_iou"].values()))
        print(
            f"| {name} | {scores['mIoU']:.2f} | {worst:.1f} | "
            f"{scores['parameters']:,} | {scores['seconds']:.0f} |"
        )


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
