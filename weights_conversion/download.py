"""Downloads a file, whole or not at all."""

import os
import pathlib
import sys
import tempfile
import urllib.error
import urllib.request

_CHUNK = 1 << 20
_TIMEOUT = 60


def download(url, path):
    """Downloads a file; one that is already there is kept.

    Progress goes to stderr.

    Args:
        url: Address of the file, of http or https.
        path: File to write; its folder is created.

    Raises:
        ValueError: If the address is of another kind or gives no whole file.
    """
    path = pathlib.Path(path)
    if not url.startswith(("https://", "http://")):
        raise ValueError(
            f"`url` must begin with https:// or http://. Received: url={url!r}"
        )
    if path.is_file():
        print(f"{path} is there already", file=sys.stderr)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            _copy(url, file, path.name)
        os.replace(partial, path)
    # The connection may fail at any point, in HTTP or below it.
    except (OSError, urllib.error.HTTPError, ValueError) as error:
        raise ValueError(
            f"{url} could not be downloaded. Try again, or fetch it with "
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
        raise ValueError(f"{received} of {total} bytes")


def _report(name, received, total):
    of = f" of {total / 1e6:.1f}" if total else ""
    text = f"\r{name}: {received / 1e6:.1f}{of} MB"
    print(text, end="", file=sys.stderr, flush=True)
