"""Generative semantic segmentation in Keras 3.

A mask is painted as an image, the maskige; a frozen discrete VAE turns that
image into tokens; a network learns to predict those tokens from a photo. The
same code trains and predicts on TensorFlow, JAX and PyTorch, chosen with the
environment variable `KERAS_BACKEND`.

Reference:
    Chen et al., "Generative Semantic Segmentation", CVPR 2023,
    https://arxiv.org/abs/2303.11316
"""

import sys

from gss_keras import (
    backbones,
    data,
    distribution,
    evaluation,
    synthetic,
    training,
    visualize,
)
from gss_keras.direct import DirectDecoder, DirectEncoder, LookupEncoder
from gss_keras.inference import views
from gss_keras.maskige import palettes
from gss_keras.models import metrics, palette_search
from gss_keras.models.discriminative import DiscriminativeSegmenter
from gss_keras.models.distillation import (
    DecoderDistillation,
    EncoderDistillation,
)
from gss_keras.models.metrics import SegmentationScores
from gss_keras.models.posterior import LatentPosterior
from gss_keras.models.prior import LatentPrior
from gss_keras.models.segmenter import GenerativeSegmenter
from gss_keras.saving import presets
from gss_keras.tokenizer.discrete_vae import DiscreteVAE

# Modules of the public API that live in a room of their own: `import
# gss_keras.presets` finds them under their public name, too.
for _module in (metrics, palette_search, presets, views):
    sys.modules[f"gss_keras.{_module.__name__.rsplit('.')[-1]}"] = _module

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
    "metrics",
    "palette_search",
    "palettes",
    "presets",
    "synthetic",
    "training",
    "views",
    "visualize",
]
