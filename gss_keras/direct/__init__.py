"""Lightweight networks that map classes to tokens or back, without maskiges."""

from gss_keras.direct.decoder import DirectDecoder
from gss_keras.direct.encoder import DirectEncoder
from gss_keras.direct.lookup import LookupEncoder

__all__ = ["DirectDecoder", "DirectEncoder", "LookupEncoder"]
