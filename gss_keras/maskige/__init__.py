"""Masks as images: palettes, the mapping X and its inverse."""

from gss_keras.maskige import palettes

__all__ = ["palettes"]
