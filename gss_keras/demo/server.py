"""Start the web server of the page."""

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
    """Serve the page of a segmenter until interrupted with Ctrl+C.

    Args:
        preset: Preset of a `GenerativeSegmenter`: path of a folder written by
            `save_to_preset`, or name of a bundled or published preset.
        host: Address to listen on. By default, only this computer can
            connect; with "0.0.0.0", any computer that can reach this one.
        port: Port to listen on; 0 for any free port.
        max_pixels: Maximum number of pixels; larger photos are downscaled
            before they are segmented. Memory and time grow with it.
        open_browser: Whether to open the page in the default browser.

    Raises:
        ImportError: If the extra `demo` is not installed.
        ValueError: If the preset does not exist, is damaged or is not a
            generative segmenter, `max_pixels` is not positive, `port` is out
            of range or in use, or `host` is not an address of this computer.
    """
    if max_pixels < 1:
        raise ValueError(
            "`max_pixels` must be positive. "
            f"Received: max_pixels={max_pixels!r}"
        )
    if not 0 <= port <= 65535:
        raise ValueError(
            f"`port` must be between 0 and 65535. Received: port={port!r}"
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
        page = Page(**_load_model(preset), max_pixels=max_pixels,
                    hosts=_allowed_hosts(host))  # fmt: skip
        page.warm_up()
        url = _url(listener)
        config = uvicorn.Config(
            page.app,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=5,
        )
        print(f"Serving on {url} (press Ctrl+C to stop)",  # noqa: T201
              flush=True)  # fmt: skip
        if open_browser:
            webbrowser.open(url)
        # Uvicorn raises KeyboardInterrupt again after it has shut down.
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


def _load_model(preset):
    """Load a preset; return the arguments of `Page` that describe it."""
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
            "`host` must be an address of this computer, and `port` free. "
            f"Received: host={host!r}, port={port!r} ({error}). Choose "
            "another port, or 0 for any free one."
        ) from error


def _allowed_hosts(host):
    """Return the host names that requests may use, None for any."""
    if host in ("0.0.0.0", "::", ""):
        return None
    return {host, "127.0.0.1", "localhost", "::1"}


def _url(listener):
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
