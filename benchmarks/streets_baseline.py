"""How much color and position alone tell about drawn street scenes.

A pixel of an unseen scene gets the class of the training pixel which is
nearest in red, green, blue, row and column. A model that learns no shape and
no texture can do little better, so the quickstart's mIoU stands on more than
this. Prints the mIoU; about ten seconds on one core:

    python benchmarks/streets_baseline.py
"""

import numpy as np

from gss_keras.models.metrics import class_iou, confusion_matrix, mean_iou
from gss_keras.synthetic.streets import Streets


def nearest_neighbor_miou(train, unseen, pixels=400, weight=1.0, seed=0):
    """Measure a nearest neighbor on (R, G, B, row, column).

    Args:
        train: Source of scenes to remember.
        unseen: Source of scenes to label, of the same size.
        pixels: Number of pixels drawn from each scene.
        weight: Weight of the position; rows and columns from 0 to 1 count as
            much as colors from 0 to 1 times this.
        seed: Seed of the pixels drawn.

    Returns:
        A pair: mIoU in percent, and a float array `(num_classes,)` of IoU.
    """
    from scipy.spatial import cKDTree

    generator = np.random.default_rng(seed)
    features, classes = _draw_pixels(train, pixels, weight, generator)
    tree = cKDTree(features)
    features, truth = _draw_pixels(unseen, pixels, weight, generator)
    answers = classes[tree.query(features)[1]]
    counts = confusion_matrix(truth, answers, train.num_classes)
    return mean_iou(counts), class_iou(counts)


def _draw_pixels(source, pixels, weight, generator):
    """Return colors and places `(n, 5)` and classes `(n,)` of some pixels."""
    features, classes = [], []
    for index in range(len(source)):
        scene = source[index]
        height, width = scene["mask"].shape
        chosen = generator.choice(height * width, pixels, replace=False)
        rows, columns = np.divmod(chosen, width)
        colors = scene["photo"][rows, columns] / 255
        places = np.stack([rows / height, columns / width], 1) * weight
        features.append(np.concatenate([colors, places], 1))
        classes.append(scene["mask"][rows, columns])
    return np.concatenate(features), np.concatenate(classes)


if __name__ == "__main__":
    for weight in (0.5, 1.0, 2.0):
        miou, ious = nearest_neighbor_miou(
            Streets(100, seed=0), Streets(40, seed=1), weight=weight
        )
        print(f"position weight {weight}: mIoU {miou:.1f}")
        print("  ", dict(zip(Streets.classes, ious.round(1), strict=True)))
