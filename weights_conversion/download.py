"""Download a file atomically."""

import os
import pathlib
import sys
import tempfile
import urllib.error
import urllib.request

_CHUNK = 1 << 20
_TIMEOUT = 60


def download(url, path):
    """Download a file atomically, unless it already exists.

    Progress is printed to stderr.

    Args:
        url: URL of the file, with scheme http or https.
        path: File to write; its folder is created.

    Raises:
        ValueError: If the URL has another scheme, or the download fails or is
            incomplete.
    """
    path = pathlib.Path(path)
    if not url.startswith(("https://", "http://")):
        raise ValueError(
            f"`url` must start with https:// or http://. Received: url={url!r}"
        )
    if path.is_file():
        print(f"{path} already exists", file=sys.stderr)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            _copy(url, file, path.name)
        os.replace(partial, path)
    # Connections may fail at any point, in HTTP or a lower layer.
    except (OSError, urllib.error.HTTPError, ValueError) as error:
        raise ValueError(
            f"{url} could not be downloaded. Try again, or download it with "
            f"another program. Received: {error}"
        ) from error
    finally:
        pathlib.Path(partial).unlink(missing_ok=True)


def _copy(url, file, name):
    with urllib.request.urlopen(url, timeout=_TIMEOUT) as response:
        total = int(response.headers.get("Content-Length") or 0)
        received = 0
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            received += len(chunk)
            _report(name, received, total)
        print(file=sys.stderr)
    if total and received != total:
        raise ValueError(f"only {received} of {total} bytes")


def _report(name, received, total):
    of = f" of {total / 1e6:.1f}" if total else ""
    text = f"\r{name}: {received / 1e6:.1f}{of} MB"
    print(text, end="", file=sys.stderr, flush=True)
