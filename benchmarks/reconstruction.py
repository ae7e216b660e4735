"""How much of a mask survives the trip through tokens, palette by palette.

The figures are the ceiling of every segmenter built on the tokenizer. Masks
are CamVid's validation set (not bundled), at 360 x 480 with nearest color:
once with its 11 classes, once with every connected component renamed to one
of 150 classes at random, which has the small pieces and close colors of
ADE20K. Two minutes on two cores:

    python benchmarks/reconstruction.py --masks camvid/valannot
"""

import dataclasses
import pathlib

import numpy as np
import tyro
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
    """What to measure.

    Attributes:
        masks: Folder of PNG files of class ids, 11 and more are ignored.
        tokenizer: Preset of the tokenizer.
        seeds: Number of seeds of each palette.
        limit: Number of masks; 0 for all.
    """

    masks: pathlib.Path
    tokenizer: str = "maskige"
    seeds: int = 11
    limit: int = 0


def read_masks(folder, limit=0):
    """Return int masks `(n, height, width)`, 255 where ignored."""
    files = sorted(pathlib.Path(folder).glob("*.png"))
    masks = np.stack([np.array(Image.open(f)) for f in files[: limit or None]])
    return np.where(masks < len(CLASSES), masks, IGNORE).astype("int64")


def rename_components(masks, num_classes=150, seed=0, by_class=False):
    """Give every connected piece of a class one of many ids at random.

    With `by_class`, each class has ids of its own to choose from, so that an
    id means the same kind of thing in all masks, as it does in a data set.
    """
    rng = np.random.default_rng(seed)
    renamed = np.full(masks.shape, IGNORE)
    for old, new in zip(masks, renamed, strict=True):
        for label in range(len(CLASSES)):
            pieces, count = ndimage.label(old == label)
            ids = np.arange(num_classes)
            if by_class:
                ids = ids[label :: len(CLASSES)]
            names = ids[rng.integers(0, len(ids), count)]
            new[pieces > 0] = names[pieces[pieces > 0] - 1]
    return renamed


def measure(tokenizer, masks, palette, batch_size=4):
    """Send masks through tokens and back.

    Returns:
        A triple: IoU of each class in percent, number of different tokens,
        and perplexity of the tokens.
    """
    num_classes = len(palette)
    colors = np.zeros((256, 3), "float32")
    colors[:num_classes] = palette / 255
    counts = 0
    uses = np.zeros(tokenizer.codebook_size)
    for start in range(0, len(masks), batch_size):
        truth = masks[start : start + batch_size]
        tokens = np.asarray(tokenizer.encode(colors[truth]))
        uses += np.bincount(tokens.ravel(), minlength=len(uses))
        decoded = np.asarray(tokenizer.decode(tokens))
        known = colors[:num_classes]
        scores = 2 * decoded @ known.T - (known**2).sum(-1)
        answers = scores.argmax(-1)
        counts = counts + confusion_matrix(truth, answers, num_classes)
    shares = uses[uses > 0] / uses.sum()
    perplexity = np.exp(-(shares * np.log(shares)).sum())
    return class_iou(counts), int((uses > 0).sum()), perplexity


def main(settings):
    """Print one row for each palette."""
    tokenizer = gss_keras.DiscreteVAE.from_preset(settings.tokenizer)
    masks = read_masks(settings.masks, settings.limit)
    pieces = rename_components(masks)
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
        (f"150 pieces, maximal_distance(150, seed={s})", pieces,
         palettes.maximal_distance(150, s))
        for s in range(min(3, settings.seeds))
    ]  # fmt: skip
    table += [("150 pieces, ade20k()", pieces, palettes.ade20k())]
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
