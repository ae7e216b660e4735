"""Masks as images: palettes, the mapping X and its inverse."""

from gss_keras.checks import check_masks
from gss_keras.constants import IGNORE_LABEL
from gss_keras.maskige import palettes
from gss_keras.maskige.color_inverse import (
    ColorInverse,
    LeastSquaresInverse,
    NearestColorInverse,
)
from gss_keras.maskige.inverse import inverse_from
from gss_keras.maskige.inverse_mapping import InverseMapping
from gss_keras.maskige.learned_inverse import (
    ConvInverse,
    LearnedInverse,
    WindowInverse,
)
from gss_keras.maskige.mapping import MaskigeMapping

__all__ = [
    "IGNORE_LABEL",
    "ColorInverse",
    "ConvInverse",
    "InverseMapping",
    "LearnedInverse",
    "LeastSquaresInverse",
    "MaskigeMapping",
    "NearestColorInverse",
    "WindowInverse",
    "check_masks",
    "inverse_from",
    "palettes",
]
