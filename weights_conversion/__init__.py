"""Converters from published PyTorch weights to presets of this package."""
