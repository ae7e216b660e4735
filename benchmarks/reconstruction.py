"""Measure a tokenizer's reconstruction mIoU with various palettes.

It is the upper bound of every segmenter built on the tokenizer. Evaluated on
the masks of CamVid's validation set (not bundled) at 360 x 480 with the
nearest-color inverse: with its 11 classes, and with every connected component
randomly relabeled as one of 150 classes, which resembles the small segments
and similar colors of ADE20K. Two minutes on two cores:

    python benchmarks/reconstruction.py --masks camvid/valannot
"""

import dataclasses
import pathlib

import numpy as np
import tyro
from keras import ops
from PIL import Image
from scipy import ndimage

import gss_keras
from gss_keras import palettes
from gss_keras.models.metrics import class_iou, confusion_matrix

CLASSES = (
    "sky building pole road pavement tree sign fence car pedestrian bicyclist"
).split()
IGNORE = 255


@dataclasses.dataclass(frozen=True)
class Settings:
    """Command-line settings.

    Attributes:
        masks: Folder of PNG files of class ids; ids from 11 on are ignored.
        tokenizer: Preset of the tokenizer.
        seeds: Number of random seeds for each palette.
        limit: Number of masks; 0 for all.
    """

    masks: pathlib.Path
    tokenizer: str = "maskige"
    seeds: int = 11
    limit: int = 0


def read_masks(folder, limit=0):
    """Read int masks `(n, height, width)`, 255 where ignored."""
    files = sorted(pathlib.Path(folder).glob("*.png"))
    masks = np.stack([np.array(Image.open(f)) for f in files[: limit or None]])
    return np.where(masks < len(CLASSES), masks, IGNORE).astype("int64")


def rename_components(masks, num_classes=150, seed=0, by_class=False):
    """Relabel every connected component of a class with a random id.

    With `by_class`, the ids of each class are drawn from a disjoint subset,
    so that an id has the same meaning in all masks, as in a real data set.
    """
    rng = np.random.default_rng(seed)
    renamed = np.full(masks.shape, IGNORE)
    for old, new in zip(masks, renamed, strict=True):
        for label in range(len(CLASSES)):
            components, count = ndimage.label(old == label)
            ids = np.arange(num_classes)
            if by_class:
                ids = ids[label :: len(CLASSES)]
            new_ids = ids[rng.integers(0, len(ids), count)]
            new[components > 0] = new_ids[components[components > 0] - 1]
    return renamed


def measure(tokenizer, masks, palette, batch_size=4):
    """Reconstruct masks from their tokens and evaluate the reconstruction.

    Returns:
        A triple: IoU of each class in percent, number of distinct tokens, and
        perplexity of the token distribution.
    """
    num_classes = len(palette)
    colors = np.zeros((256, 3), "float32")
    colors[:num_classes] = palette / 255
    confusion = 0
    usage = np.zeros(tokenizer.codebook_size)
    for start in range(0, len(masks), batch_size):
        truth = masks[start : start + batch_size]
        tokens = ops.convert_to_numpy(tokenizer.encode(colors[truth]))
        usage += np.bincount(tokens.ravel(), minlength=len(usage))
        decoded = ops.convert_to_numpy(tokenizer.decode(tokens))
        class_colors = colors[:num_classes]
        scores = 2 * decoded @ class_colors.T - (class_colors**2).sum(-1)
        predicted = scores.argmax(-1)
        confusion = confusion + confusion_matrix(truth, predicted, num_classes)
    probabilities = usage[usage > 0] / usage.sum()
    perplexity = np.exp(-(probabilities * np.log(probabilities)).sum())
    return class_iou(confusion), int((usage > 0).sum()), perplexity


def main(settings):
    """Print a row for each palette."""
    tokenizer = gss_keras.DiscreteVAE.from_preset(settings.tokenizer)
    masks = read_masks(settings.masks, settings.limit)
    components = rename_components(masks)
    table = [
        (
            f"maximal_distance(11, seed={s})",
            masks,
            palettes.maximal_distance(11, s),
        )
        for s in range(settings.seeds)
    ]
    table += [
        ("camvid()", masks, palettes.camvid()),
        ("cityscapes()", masks, palettes.cityscapes()),
        ("random(11, seed=0)", masks, palettes.random(11, 0)),
        ("random(11, seed=1)", masks, palettes.random(11, 1)),
    ]
    table += [
        (f"150 classes, maximal_distance(150, seed={s})", components,
         palettes.maximal_distance(150, s))
        for s in range(min(3, settings.seeds))
    ]  # fmt: skip
    table += [("150 classes, ade20k()", components, palettes.ade20k())]
    print("| palette | mIoU | worst class | tokens used | perplexity |")
    print("|---|---|---|---|---|")
    for name, labels, palette in table:
        ious, used, perplexity = measure(tokenizer, labels, palette)
        print(
            f"| {name} | {np.nanmean(ious):.2f} | {np.nanmin(ious):.1f} | "
            f"{used} | {perplexity:.1f} |",
            flush=True,
        )
        if name == "maximal_distance(11, seed=0)":
            first = ious
    print()
    for label, iou in zip(CLASSES, first, strict=True):
        print(f"{label} {iou:.1f}")


if __name__ == "__main__":
    main(tyro.cli(Settings))
