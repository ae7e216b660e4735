"""Converters from published PyTorch weights to presets of `gss_keras`."""
