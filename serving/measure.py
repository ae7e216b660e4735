"""Benchmark an exported segmenter: size, latency, equality, calibration.

    KERAS_BACKEND=jax python serving/measure.py CamVid/val CamVid/valannot

Exports the bundled segmenter of street photos, serves it over gRPC and
compares its masks with `predict`, photo by photo. With ground-truth masks, it
also measures how well the confidence detects wrong pixels: the area under the
ROC curve of correct against wrong pixels (0.5 is chance, 1 perfect), and the
expected calibration error (0 is perfect).
"""

import concurrent.futures
import dataclasses
import pathlib
import subprocess
import sys
import tempfile
import time

import keras
import numpy as np
import tyro

import gss_keras

ROOT = pathlib.Path(__file__).parents[1]


@dataclasses.dataclass(frozen=True)
class Settings:
    """Photos, preset and load of the benchmark."""

    photos: tyro.conf.Positional[pathlib.Path]
    """Folder of photos of one size."""
    masks: tyro.conf.Positional[pathlib.Path | None] = None
    """Folder of their masks, class ids or 255, with the same file names."""
    preset: str = "camvid"
    count: int = 20
    """Number of photos, evenly spaced in the folder."""
    port: int = 8597
    requests: int = 0
    """Number of requests of the load test, which runs last."""
    clients: int = 8
    """Number of concurrent clients of the load test."""
    crop: tuple[int, int] = (120, 160)
    """Height and width of the photos of the load test; every fourth is one
    pixel smaller."""


def main(settings):
    """Export and serve the segmenter, then compare and load-test it."""
    from PIL import Image

    paths = sorted(settings.photos.glob("*.png"))
    paths = paths[:: max(1, len(paths) // settings.count)][: settings.count]
    photos = [np.asarray(Image.open(p).convert("RGB"))[None] for p in paths]
    segmenter = gss_keras.GenerativeSegmenter.from_preset(settings.preset)
    with tempfile.TemporaryDirectory() as base:
        folder, seconds = timed(segmenter.export, base, version="next")
        size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
        print(f"{keras.backend.backend()}: exported in {seconds:.1f} s")
        print(f"{size / 1e6:.1f} MB")
        server, request = start_server(base, settings.port)
        try:
            compare(segmenter, request, photos, paths, settings.masks)
            if settings.requests:
                load_test(segmenter, request, photos, settings)
        finally:
            server.terminate()
            server.wait()


def compare(segmenter, request, photos, paths, masks_folder):
    """Compare latency and masks of the server and of `predict`."""
    from PIL import Image

    # Compile before timing.
    request(photos[0]), segmenter.predict(photos[0])
    served, predicted, equal, confidence, is_correct = [], [], [], [], []
    for path, photo in zip(paths, photos, strict=True):
        response, seconds = timed(request, photo)
        served.append(seconds)
        masks, seconds = timed(segmenter.predict, photo)
        predicted.append(seconds)
        equal.append(np.mean(response["masks"] == masks))
        if masks_folder:
            truth = np.asarray(Image.open(masks_folder / path.name))
            labeled = truth < segmenter.num_classes
            confidence.append(response["confidence"][0][labeled])
            is_correct.append((response["masks"][0] == truth)[labeled])
    for name, seconds in (("served", served), ("predict", predicted)):
        print(
            f"{name}: median {1000 * np.median(seconds):.0f} ms, "
            f"fastest {1000 * min(seconds):.0f} ms"
        )
    print(f"equal pixels: {np.mean(equal):.6f}, worst {min(equal):.6f}")
    if masks_folder:
        confidence, is_correct = map(np.concatenate, (confidence, is_correct))
        print(f"pixel accuracy: {is_correct.mean():.4f}")
        for name, group in (("correct", is_correct), ("wrong", ~is_correct)):
            mean = confidence[group].mean()
            print(f"mean confidence of {name} pixels: {mean:.3f}")
        print(f"AUROC: {auroc(confidence, is_correct):.4f}")
        error = expected_calibration_error(confidence, is_correct)
        print(f"expected calibration error: {error:.4f}")


def load_test(segmenter, request, photos, settings):
    """Send concurrent requests; print throughput and latencies."""
    height, width = settings.crop
    crops = []
    for index in range(settings.requests):
        smaller = index % 4 == 3
        photo = photos[index % len(photos)]
        crops.append(photo[:, : height - smaller, : width - smaller])
    with concurrent.futures.ThreadPoolExecutor(settings.clients) as clients:
        start = time.perf_counter()
        responses = list(
            clients.map(lambda photo: timed(request, photo), crops)
        )
        seconds = time.perf_counter() - start
    different = sum(
        np.mean(response["masks"] == segmenter.predict(photo)) < 0.999
        for photo, (response, _) in zip(crops[:20], responses, strict=False)
    )
    latencies = 1000 * np.array([latency for _, latency in responses])
    median, p95, longest = np.percentile(latencies, [50, 95, 100])
    print(
        f"{len(responses)} of {len(crops)} requests from {settings.clients} "
        f"clients answered in {seconds:.0f} s; latency: median {median:.0f} "
        f"ms, 95th percentile {p95:.0f} ms, maximum {longest:.0f} ms; "
        f"{different} of 20 checked masks differ"
    )


def timed(function, *arguments, **keywords):
    """Call a function; return its result and wall-clock time in seconds."""
    start = time.perf_counter()
    result = function(*arguments, **keywords)
    return result, time.perf_counter() - start


def start_server(base, port):
    """Start the tests' server; return its process and a client function."""
    import grpc

    sys.path.append(str(ROOT / "tests"))
    import prediction_server

    script = prediction_server.__file__
    server = subprocess.Popen(
        [sys.executable, script, str(base), "--port", str(port)]
    )
    for _ in range(600):
        try:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                grpc.channel_ready_future(channel).result(timeout=1)
            break
        except grpc.FutureTimeoutError:
            if server.poll() is not None:
                raise SystemExit("The server exited.") from None
    return server, prediction_server.client(port)


def auroc(scores, is_positive):
    """Compute the area under the ROC curve from average ranks."""
    _, group, counts = np.unique(
        scores, return_inverse=True, return_counts=True
    )
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[group]
    positive = is_positive.sum()
    above = ranks[is_positive].sum() - positive * (positive + 1) / 2
    return above / (positive * (len(scores) - positive))


def expected_calibration_error(confidence, is_correct, bins=10):
    """Compute the mean gap between confidence and accuracy over bins."""
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    return sum(
        abs(is_correct[bin_of == i].mean() - confidence[bin_of == i].mean())
        * np.mean(bin_of == i)
        for i in np.unique(bin_of)
    )


if __name__ == "__main__":
    main(tyro.cli(Settings))
