"""Load-test the web demo: latency, lost responses, invalid and large files.

Concurrent clients, each with one request at a time, send photos to the demo
of a preset in a separate process. Each response must be the mask of the photo
that was sent. Then follow invalid files and very large photos.

    KERAS_BACKEND=torch OMP_NUM_THREADS=1 python benchmarks/page_load.py

Measured with one PyTorch thread on two CPU cores that two training runs kept
busy (load average 8): 200 of 200 requests answered in 182 s.

    latency, s      median     90 %     99 %      max
    all               6.90    10.71    14.29    14.86

With eight clients waiting, a photo took 0.9 s; the clients' medians lie
between 6.56 and 7.21 s. Peak memory of the server was 860 MB, and 1934 MB
after a JPEG and a PNG of 8000 x 6000, both downscaled to 1024 x 768.
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
    """Command-line settings."""

    preset: str = "camvid"
    clients: int = 8
    requests: int = 25
    """Number of requests of each client."""
    sizes: tuple[tuple[int, int], ...] = ((180, 240), (240, 320), (360, 480))
    """Heights and widths of the photos."""


def main(settings):
    """Start the demo, load-test it and print the results."""
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
            print(f"Peak memory of the server: {peak_memory(server)}")
            send_bad_files(address)
            print(f"Peak memory after large files: {peak_memory(server)}")
        finally:
            server.terminate()


def load(address, photos, settings):
    """Run all clients concurrently and print the latencies."""
    # The expected masks, requested sequentially.
    masks = {
        size: segment(address, file, "reference")["mask"]
        for size, file in photos.items()
    }

    def run_client(client):
        latencies = []
        for number in range(settings.requests):
            size = settings.sizes[(client + number) % len(settings.sizes)]
            start = time.perf_counter()
            response = segment(address, photos[size], str(client))
            latencies.append(time.perf_counter() - start)
            if response["mask"] != masks[size]:
                raise ValueError(
                    "The response must be the mask of the photo that was "
                    f"sent. Received: another mask, at client {client}"
                )
        return latencies

    start = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(settings.clients) as pool:
        latencies = list(pool.map(run_client, range(settings.clients)))
    elapsed = time.perf_counter() - start
    answered = sum(map(len, latencies))
    print(
        f"{answered} of {settings.clients * settings.requests} requests "
        f"answered in {elapsed:.0f} s, {answered / elapsed:.2f} per second; "
        f"load average {os.getloadavg()[0]:.1f}"
    )
    print("latency, s      median     90 %     99 %      max")
    rows = {f"client {i}": row for i, row in enumerate(latencies)}
    rows["all"] = [latency for row in latencies for latency in row]
    for name, row in rows.items():
        values = [*np.percentile(row, [50, 90, 99]), max(row)]
        print(f"{name:12}" + "".join(f"{value:9.2f}" for value in values))


def send_bad_files(address):
    """Send invalid, unusual and very large files, and print the responses."""
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
        start = time.perf_counter()
        response = segment(address, file, "bad")
        elapsed = time.perf_counter() - start
        result = response.get("error")
        if not result:
            width, height = response["size"]
            mask = zlib.decompress(base64.b64decode(response["mask"]))
            if len(mask) != width * height:
                raise ValueError(
                    f"The mask of {name} must have {width * height} pixels. "
                    f"Received: {len(mask)} pixels"
                )
            result = f"mask of {width} x {height} for {response['file_size']}"
        print(f"{name:18} {elapsed:6.2f} s  {result}")


def segment(address, file, visitor):
    """Post a file to the demo and return its JSON response as a dict."""
    request = urllib.request.Request(
        f"{address}/api/segment", file, {"X-Visitor": visitor}
    )
    try:
        with urllib.request.urlopen(request, timeout=600) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        return json.load(error)


def as_file(image, kind="PNG", **options):
    """Encode an image array or PIL image as the bytes of an image file."""
    file = io.BytesIO()
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    image.save(file, kind, **options)
    return file.getvalue()


def peak_memory(process):
    """Return the peak memory of a process, as text."""
    status = pathlib.Path(f"/proc/{process.pid}/status")
    if not status.exists():
        return "unknown on this system"
    kilobytes = int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1])
    return f"{kilobytes / 1024:.0f} MB"


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
