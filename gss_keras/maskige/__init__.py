"""Masks as images: palettes, the mapping X and its inverse."""

from gss_keras.maskige import palettes
from gss_keras.maskige.inverse import (
    NearestColorInverse,
    WindowInverse,
    inverse_from,
)
from gss_keras.maskige.mapping import (
    IGNORE_LABEL,
    MaskigeMapping,
    check_masks,
)

__all__ = [
    "IGNORE_LABEL",
    "MaskigeMapping",
    "NearestColorInverse",
    "WindowInverse",
    "check_masks",
    "inverse_from",
    "palettes",
]
