"""Generative semantic segmentation in Keras 3.

A mask is painted as an image, the maskige; a frozen discrete VAE turns that
image into tokens; a network learns to predict those tokens from a photo. The
same code trains and predicts on TensorFlow, JAX and PyTorch, chosen with the
environment variable `KERAS_BACKEND`.

Reference:
    Chen et al., "Generative Semantic Segmentation", CVPR 2023,
    https://arxiv.org/abs/2303.11316
"""

from gss_keras import (
    backbones,
    data,
    distribution,
    evaluation,
    palette_search,
    presets,
    training,
    visualize,
)
from gss_keras.direct import (
    DecoderDistillation,
    DirectDecoder,
    DirectEncoder,
    EncoderDistillation,
    LookupEncoder,
)
from gss_keras.discriminative import DiscriminativeSegmenter
from gss_keras.maskige import palettes
from gss_keras.metrics import SegmentationScores
from gss_keras.posterior import LatentPosterior
from gss_keras.prior import LatentPrior
from gss_keras.segmenter import GenerativeSegmenter
from gss_keras.tokenizer.discrete_vae import DiscreteVAE

__version__ = "0.1.0"

__all__ = [
    "DecoderDistillation",
    "DirectDecoder",
    "DirectEncoder",
    "DiscreteVAE",
    "DiscriminativeSegmenter",
    "EncoderDistillation",
    "GenerativeSegmenter",
    "LatentPosterior",
    "LatentPrior",
    "LookupEncoder",
    "SegmentationScores",
    "backbones",
    "data",
    "distribution",
    "evaluation",
    "palette_search",
    "palettes",
    "presets",
    "training",
    "visualize",
]
