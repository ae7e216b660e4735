"""A segmenter and a web server for the tests of the page."""

import contextlib
import socket
import threading

import numpy as np
import uvicorn
from tiny import tiny_prior

import gss_keras


def segmenter_with_large_weights():
    """Build a tiny segmenter with the same large weights on every backend.

    With the layers' initializers, it often predicts a single class.
    """
    segmenter = gss_keras.GenerativeSegmenter(tiny_prior())
    generator = np.random.default_rng(0)
    for weight in segmenter.weights:
        if len(weight.shape) > 1:
            fan_in = np.prod(weight.shape[:-1])
            values = generator.normal(0, (4 / fan_in) ** 0.5, weight.shape)
            weight.assign(values.astype("float32"))
    return segmenter


@contextlib.contextmanager
def served(page):
    """Serve a page on a free port and yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(page.app, log_level="warning"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield "http://127.0.0.1:{1}".format(*listener.getsockname())
        finally:
            server.should_exit = True
            thread.join()
