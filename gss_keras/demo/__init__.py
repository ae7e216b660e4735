"""A local web page to try a segmenter on one's own photos.

`serve` starts the web server. The page shows the tokens, maskige, mask and
confidence of an uploaded photo, and the wall-clock time of each step. Nothing
is loaded from the internet and nothing is stored.
"""

from gss_keras.demo.server import serve

__all__ = ["serve"]
