"""Generative semantic segmentation in Keras 3."""
