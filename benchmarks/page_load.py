"""How long visitors of the page wait, and whether any answer is lost.

Clients send photos at the same time, each the next one when its last is
answered, to the page of a preset in a process of its own. Every answer must be
that photo's mask. Then come files that are no photos, or large ones.

    KERAS_BACKEND=torch OMP_NUM_THREADS=1 python benchmarks/page_load.py

Measured with one thread of PyTorch on two CPU cores that two trainings kept
busy (load average 8): 200 of 200 answered in 182 s.

    seconds         median     90 %     99 %  longest
    all               6.90    10.71    14.29    14.86

Eight wait at a time, so a photo took 0.9 s; the medians of the clients lie
between 6.56 and 7.21. The server held 860 MB at most, and 1934 MB after a JPEG
and a PNG of 8000 x 6000, both reduced to 1024 x 768.
"""

import base64
import concurrent.futures
import dataclasses
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zlib

import numpy as np
import tyro
from PIL import Image

from gss_keras.synthetic.streets import Streets

_START = "from gss_keras.demo import serve; serve({preset!r}, port=0)"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is sent."""

    preset: str = "camvid"
    clients: int = 8
    requests: int = 25
    """Photos that each client sends."""
    sizes: tuple[tuple[int, int], ...] = ((180, 240), (240, 320), (360, 480))
    """Heights and widths of the photos."""


def main(settings):
    """Load the page and print how it fared."""
    photos = {
        size: as_file(Streets(1, seed=0, size=size)[0]["photo"])
        for size in settings.sizes
    }
    start = _START.format(preset=settings.preset)
    with subprocess.Popen(
        [sys.executable, "-c", start], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            line = server.stdout.readline()
            address = re.search(r"http://\S+", line)[0]
            load(address, photos, settings)
            print(f"Memory of the server at most: {peak_memory(server)}")
            send_bad_files(address)
            print(f"Memory after large files: {peak_memory(server)}")
        finally:
            server.terminate()


def load(address, photos, settings):
    """Let all clients send their photos, and print the latencies."""
    # What each photo's mask is, asked for while nobody else asks.
    masks = {
        size: segment(address, file, "alone")["mask"]
        for size, file in photos.items()
    }

    def visit(client):
        waits = []
        for number in range(settings.requests):
            size = settings.sizes[(client + number) % len(settings.sizes)]
            began = time.perf_counter()
            answer = segment(address, photos[size], str(client))
            waits.append((size, time.perf_counter() - began))
            if answer["mask"] != masks[size]:
                raise ValueError(f"A wrong mask came back to client {client}.")
        return waits

    began = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(settings.clients) as pool:
        waits = list(pool.map(visit, range(settings.clients)))
    elapsed = time.perf_counter() - began
    answered = sum(map(len, waits))
    print(
        f"{answered} of {settings.clients * settings.requests} answered in "
        f"{elapsed:.0f} s, {answered / elapsed:.2f} a second; "
        f"load average {os.getloadavg()[0]:.1f}"
    )
    print("seconds         median     90 %     99 %  longest")
    rows = {f"client {i}": [w for _, w in row] for i, row in enumerate(waits)}
    rows["all"] = [wait for row in waits for _, wait in row]
    for name, row in rows.items():
        numbers = [*np.percentile(row, [50, 90, 99]), max(row)]
        print(f"{name:12}" + "".join(f"{number:9.2f}" for number in numbers))


def send_bad_files(address):
    """Send what is no good photo, and print the answers."""
    photo = Streets(1, seed=0, size=(48, 64))[0]["photo"]
    large = Image.new("RGB", (8000, 6000), (90, 120, 160))
    sideways = Image.Exif()
    sideways[0x0112] = 6
    files = {
        "empty": b"",
        "text": b"hello",
        "truncated": as_file(photo)[:-500],
        "1 x 1": as_file(photo[:1, :1]),
        "gray": as_file(photo[..., 0]),
        "RGBA": as_file(np.dstack([photo, photo[..., 0]])),
        "16 bits": as_file(photo[..., 0].astype("uint16") * 257),
        "sideways": as_file(photo, exif=sideways),
        "8000 x 6000 JPEG": as_file(large, "JPEG"),
        "8000 x 6000 PNG": as_file(large, compress_level=1),
        "65 MB": bytes(65 * 2**20),
        "text again": b"hello",
    }
    for name, file in files.items():
        began = time.perf_counter()
        answer = segment(address, file, "bad")
        elapsed = time.perf_counter() - began
        said = answer.get("error")
        if not said:
            width, height = answer["size"]
            mask = zlib.decompress(base64.b64decode(answer["mask"]))
            if len(mask) != width * height:
                raise ValueError(f"The mask of {name} has another size.")
            said = f"a mask of {width} x {height} for {answer['file_size']}"
        print(f"{name:18} {elapsed:6.2f} s  {said}")


def segment(address, file, visitor):
    """Return the page's answer to a file as a dict."""
    request = urllib.request.Request(
        f"{address}/api/segment", file, {"X-Visitor": visitor}
    )
    try:
        with urllib.request.urlopen(request, timeout=600) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        return json.load(error)


def as_file(picture, kind="PNG", **options):
    """Return the bytes of a picture's file."""
    file = io.BytesIO()
    if not isinstance(picture, Image.Image):
        picture = Image.fromarray(picture)
    picture.save(file, kind, **options)
    return file.getvalue()


def peak_memory(process):
    """Return the most memory that a process held, as text."""
    status = pathlib.Path(f"/proc/{process.pid}/status")
    if not status.exists():
        return "not known here"
    kilobytes = int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1])
    return f"{kilobytes / 1024:.0f} MB"


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
