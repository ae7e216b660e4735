"""Heads of discriminative segmenters: feature pyramid to features at 1/4."""

from gss_keras.heads.deeplab_v3_plus import DeepLabV3PlusHead
from gss_keras.heads.fcn import FCNHead
from gss_keras.heads.head import Head
from gss_keras.heads.segformer import SegFormerHead

# The `head` argument of `DiscriminativeSegmenter`.
HEADS = {
    "fcn": FCNHead,
    "segformer": SegFormerHead,
    "deeplab_v3_plus": DeepLabV3PlusHead,
}

__all__ = ["HEADS", "DeepLabV3PlusHead", "FCNHead", "Head", "SegFormerHead"]
