"""A page on which people try a segmenter on photos of their own.

`serve` answers a browser on this computer: photo, tokens, maskige, mask and
confidence of a photo that is dropped onto the page, and how long each step of
the way took. Nothing is loaded from the net and nothing is stored.
"""

from gss_keras.demo.server import serve

__all__ = ["serve"]
