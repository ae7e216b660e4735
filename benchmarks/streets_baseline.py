"""Segment synthetic street scenes by color and position alone, a baseline.

A nearest-neighbor classifier assigns each pixel of a test scene the class of
the training pixel closest in red, green, blue, row and column. A model that
ignores shape and texture can do little better, so the quickstart's higher mIoU
shows that it uses them. Prints the mIoU; about ten seconds on one core:

    python benchmarks/streets_baseline.py
"""

import numpy as np

from gss_keras.models.metrics import class_iou, confusion_matrix, mean_iou
from gss_keras.synthetic.streets import Streets


def nearest_neighbor_miou(train, unseen, pixels=400, weight=1.0, seed=0):
    """Evaluate a nearest-neighbor classifier on (R, G, B, row, column).

    Args:
        train: Source of the training scenes.
        unseen: Source of the test scenes, of the same size.
        pixels: Number of pixels sampled from each scene.
        weight: Factor of the rows and columns, which are scaled to [0, 1] like
            the colors.
        seed: Random seed of the sampled pixels.

    Returns:
        A pair: mIoU in percent, and a float array `(num_classes,)` of the IoU
        of each class in percent.
    """
    from scipy.spatial import cKDTree

    generator = np.random.default_rng(seed)
    features, classes = _sample_pixels(train, pixels, weight, generator)
    tree = cKDTree(features)
    features, truth = _sample_pixels(unseen, pixels, weight, generator)
    predicted = classes[tree.query(features)[1]]
    confusion = confusion_matrix(truth, predicted, train.num_classes)
    return mean_iou(confusion), class_iou(confusion)


def _sample_pixels(source, pixels, weight, generator):
    """Sample pixels: features `(n, 5)`, color and position; classes `(n,)`."""
    features, classes = [], []
    for index in range(len(source)):
        scene = source[index]
        height, width = scene["mask"].shape
        indices = generator.choice(height * width, pixels, replace=False)
        rows, columns = np.divmod(indices, width)
        colors = scene["photo"][rows, columns] / 255
        positions = np.stack([rows / height, columns / width], 1) * weight
        features.append(np.concatenate([colors, positions], 1))
        classes.append(scene["mask"][rows, columns])
    return np.concatenate(features), np.concatenate(classes)


if __name__ == "__main__":
    for weight in (0.5, 1.0, 2.0):
        miou, ious = nearest_neighbor_miou(
            Streets(100, seed=0), Streets(40, seed=1), weight=weight
        )
        print(f"position weight {weight}: mIoU {miou:.1f}")
        print("  ", dict(zip(Streets.classes, ious.round(1), strict=True)))
