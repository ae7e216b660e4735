"""Serve a page in a thread of its own, as tests need it."""

import contextlib
import socket
import threading

import uvicorn


@contextlib.contextmanager
def served(page):
    """Serve a page at a free port; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(page.app, log_level="warning"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield "http://127.0.0.1:{1}".format(*listener.getsockname())
        finally:
            server.should_exit = True
            thread.join()
