"""Backbones: photos to feature maps of several strides."""

from gss_keras.backbones.efficientnet_lite import EfficientNetLite

__all__ = ["EfficientNetLite"]
