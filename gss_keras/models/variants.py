"""The variants of the paper: mapping X, inverse X^-1, and what each trains on.

GSS-[F|T][F|T]: first the mapping X, then its inverse X^-1, each free of
training (F) or trained (T). `R` stands for random colors, `W` for an inverse
of shifted-window attention.
"""

import dataclasses
from collections.abc import Callable

from gss_keras.maskige import palettes


@dataclasses.dataclass(frozen=True)
class Variant:
    """Describe one variant.

    Args:
        make_palette: Function from the number of classes and a `seed` to the
            (initial) colors.
        inverse: Name of the inverse mapping, see `LatentPosterior`.
        is_palette_learned: Whether stage I trains the colors.
        trained_on: What the inverse, and the colors if they are learned, are
            trained on: "reconstructions" of true masks in stage I,
            "predictions" of the frozen prior after stage II, or None where
            there is nothing to train.
    """

    make_palette: Callable
    inverse: str
    is_palette_learned: bool = False
    trained_on: str | None = None

    @property
    def first_inverse(self):
        """The inverse of stage I, until one is trained on predictions."""
        if self.trained_on == "predictions":
            return "nearest_color"
        return self.inverse


_DISTANT = palettes.maximal_distance

VARIANTS = {
    "ff": Variant(_DISTANT, "nearest_color"),
    "ff-r": Variant(palettes.random, "nearest_color"),
    "ft": Variant(_DISTANT, "conv", trained_on="reconstructions"),
    "ft-w": Variant(_DISTANT, "window", trained_on="predictions"),
    "tf": Variant(_DISTANT, "nearest_color", True, "reconstructions"),
    "tt": Variant(_DISTANT, "conv", True, "reconstructions"),
}


def find(name):
    """Return the variant of a name.

    Args:
        name: "ff", "ff-r", "ft", "ft-w", "tf" or "tt".

    Returns:
        A `Variant`.

    Raises:
        ValueError: If there is no such variant.

    Example:
        >>> find("ft-w").inverse, find("ft-w").trained_on
        ('window', 'predictions')
    """
    if name not in VARIANTS:
        raise ValueError(
            f"`variant` must be one of {sorted(VARIANTS)}. "
            f"Received: variant={name!r}"
        )
    return VARIANTS[name]
