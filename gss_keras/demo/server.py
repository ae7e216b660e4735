"""Start the server of the page."""

import contextlib
import socket
import webbrowser


def serve(
    preset="camvid",
    host="127.0.0.1",
    port=8000,
    max_pixels=786_432,
    open_browser=False,
):
    """Serve the page of a segmenter until it is stopped with Ctrl+C.

    Args:
        preset: Path of a folder written by `save_to_preset`, or the name of a
            bundled preset or a published model, of a `GenerativeSegmenter`.
        host: Address to listen at. The default is reached from this computer
            alone; "0.0.0.0" lets everybody in who reaches this computer.
        port: Port to listen at; 0 for any that is free.
        max_pixels: Number of pixels that larger photos are reduced to before
            they are segmented. Memory and time grow with it.
        open_browser: Whether to open the page in the browser.

    Raises:
        ImportError: If the extra `demo` is not installed.
        ValueError: If the preset is absent, damaged or no generative
            segmenter, `max_pixels` is not above 0, or the port does not exist
            or is taken.
    """
    if max_pixels < 1:
        raise ValueError(
            f"`max_pixels` must be above 0. Received: max_pixels={max_pixels!r}"
        )
    if not 0 <= port <= 65535:
        raise ValueError(
            f"`port` must be from 0 to 65535. Received: port={port!r}"
        )
    try:
        import uvicorn

        from gss_keras.demo.app import Page
    except ImportError as error:
        raise ImportError(
            f"The page needs the package `{error.name}`. Install it with "
            "`pip install gss-keras[demo]`."
        ) from error
    listener = _listen(host, port)
    with listener:
        page = Page(**_segmenter_of(preset), max_pixels=max_pixels,
                    hosts=_names_of(host))  # fmt: skip
        page.warm_up()
        address = _address(listener)
        config = uvicorn.Config(
            page.app,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=5,
        )
        print(f"The page is at {address} (Ctrl+C stops it)",  # noqa: T201
              flush=True)  # fmt: skip
        if open_browser:
            webbrowser.open(address)
        # Uvicorn passes Ctrl+C on when it has closed what was open.
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


def _segmenter_of(preset):
    """Load a preset, with the names of its classes as far as known."""
    from gss_keras.data.cards import card, names
    from gss_keras.models.segmenter import GenerativeSegmenter

    segmenter = GenerativeSegmenter.from_preset(preset)
    data_set = str(preset) if str(preset) in names() else None
    classes = getattr(segmenter, "classes", None)
    if not classes and data_set:
        classes = card(data_set).classes
    return {
        "segmenter": segmenter,
        "title": str(preset).rstrip("/\\").replace("\\", "/").split("/")[-1],
        "classes": classes,
        "data_set": data_set,
    }


def _listen(host, port):
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ValueError(
            "`host` must be an address of this computer and `port` one that "
            f"is free. Received: host={host!r}, port={port!r} ({error}). Give "
            "another port, or 0 for any."
        ) from error


def _names_of(host):
    """Return the names that a browser may call the server by."""
    if host in ("0.0.0.0", "::", ""):
        return None
    return {host, "127.0.0.1", "localhost", "::1"}


def _address(listener):
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
