"""Synthetic data: street scenes, label maps and miniature data sets."""

from gss_keras.synthetic import miniature, streets

__all__ = ["miniature", "streets"]
