"""Palettes that the page offers to show a mask in."""

import numpy as np

from gss_keras.data.cards import card
from gss_keras.maskige import palettes


def shown_palettes(posterior, data_set=None):
    """List palettes for a posterior's classes, its own first.

    Args:
        posterior: A `LatentPosterior`.
        data_set: Name of a data set in the catalog; its palette is included
            if it has as many classes.

    Returns:
        List of dicts: `name`, `note`, `colors`, a list of RGB triples 0-255,
        and `smallest_distance`, the smallest RGB distance between two colors.
    """
    count = posterior.num_classes
    shown = [("Model palette", "colors of the maskige", posterior.palette)]
    if data_set and card(data_set).num_classes == count:
        note = f"official colors of {data_set}"
        shown.append(("Data set", note, card(data_set).colors))
    shown += [
        (
            "Maximal distance",
            "well-separated colors",
            palettes.maximal_distance(count, seed=2),
        ),
        ("Random", "uniform random colors", palettes.random(count, seed=5)),
        ("Soft", "muted, evenly spaced hues", soft(count)),
    ]
    return [
        {
            "name": name,
            "note": note,
            "colors": np.rint(colors).astype(int).tolist(),
            "smallest_distance": round(palettes.smallest_distance(colors), 1),
        }
        for name, note, colors in shown
    ]


def soft(num_classes):
    """Return muted colors with evenly spaced hues.

    Args:
        num_classes: Number of colors.

    Returns:
        Float32 array `(num_classes, 3)`, RGB 0-255.

    Example:
        >>> soft(3).shape
        (3, 3)
    """
    hues = np.arange(num_classes) / num_classes
    # Adjacent hues differ in brightness, too.
    values = np.array([0.92, 0.62, 0.78])[np.arange(num_classes) % 3]
    angles = (hues[:, None] + np.array([0, 2, 1]) / 3) * 2 * np.pi
    waves = 0.5 + 0.5 * np.cos(angles)
    colors = values[:, None] * (1 - 0.65 * (1 - waves))
    return (255 * colors).astype("float32")
