"""Backbones: photos to feature maps of several strides."""

from gss_keras.backbones.efficientnet_lite import EfficientNetLite
from gss_keras.backbones.feature_pyramid import FeaturePyramid, as_backbone
from gss_keras.backbones.hrnet import HRNetV2
from gss_keras.backbones.resnet_v1c import ResNetV1c
from gss_keras.backbones.swin import SwinTransformer

__all__ = [
    "EfficientNetLite",
    "FeaturePyramid",
    "HRNetV2",
    "ResNetV1c",
    "SwinTransformer",
    "as_backbone",
]
