"""Drawn data: street scenes, label maps, miniatures of the data sets."""

from gss_keras.synthetic import miniature, streets

__all__ = ["miniature", "streets"]
