"""Light networks between classes and tokens, without a maskige in between."""

from gss_keras.direct.decoder import DirectDecoder
from gss_keras.direct.distillation import (
    DecoderDistillation,
    EncoderDistillation,
)
from gss_keras.direct.encoder import DirectEncoder
from gss_keras.direct.lookup import LookupEncoder

__all__ = [
    "DecoderDistillation",
    "DirectDecoder",
    "DirectEncoder",
    "EncoderDistillation",
    "LookupEncoder",
]
