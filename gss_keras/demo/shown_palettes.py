"""Colors in which the page can paint a mask."""

import numpy as np

from gss_keras.data.cards import card
from gss_keras.maskige import palettes


def shown_palettes(posterior, data_set=None):
    """Gather palettes for a posterior's classes, its own first.

    Args:
        posterior: A `LatentPosterior`.
        data_set: Name of a data set in the catalog; its usual colors are
            offered too if it has as many classes.

    Returns:
        List of dicts: `name`, `note`, `colors`, a list of RGB triples 0-255,
        and `smallest_distance`, the RGB distance of the closest two.
    """
    count = posterior.num_classes
    shown = [
        (
            "The model's own",
            "what it paints maskiges with",
            posterior.palette,
        )
    ]
    if data_set and card(data_set).num_classes == count:
        note = f"those that {data_set} is shown in"
        shown.append(("Usual", note, card(data_set).colors))
    shown += [
        (
            "Maximal distance",
            "the furthest apart that are known",
            palettes.maximal_distance(count, seed=2),
        ),
        ("Random", "drawn blindly", palettes.random(count, seed=5)),
        ("Soft", "easy on the eye, hues evenly around", soft(count)),
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
    """Take muted colors whose hues go evenly around the color circle.

    Args:
        num_classes: Number of colors.

    Returns:
        Float32 array `(num_classes, 3)`, RGB 0-255.

    Example:
        >>> soft(3).shape
        (3, 3)
    """
    hues = np.arange(num_classes) / num_classes
    # Neighbors on the circle differ in brightness too.
    values = np.array([0.92, 0.62, 0.78])[np.arange(num_classes) % 3]
    angles = (hues[:, None] + np.array([0, 2, 1]) / 3) * 2 * np.pi
    waves = 0.5 + 0.5 * np.cos(angles)
    colors = values[:, None] * (1 - 0.65 * (1 - waves))
    return (255 * colors).astype("float32")
