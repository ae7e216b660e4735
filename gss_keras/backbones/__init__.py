"""Backbones: photos to feature maps of several strides."""

from gss_keras.backbones.efficientnet_lite import EfficientNetLite
from gss_keras.backbones.feature_pyramid import FeaturePyramid, as_backbone

__all__ = ["EfficientNetLite", "FeaturePyramid", "as_backbone"]
