"""Measure an exported segmenter: time, size, latency, equality, confidence.

    KERAS_BACKEND=jax python serving/measure.py CamVid/val CamVid/valannot

Exports the bundled segmenter of street photos, serves it over gRPC and
compares what comes back with `predict` here, photo by photo. With masks,
it also tells how well the confidence finds the pixels that are wrong: the
area under the curve of right against wrong ones (0.5 is chance, 1 perfect),
and how far it is from the share of right pixels (0 is perfect).
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
    """What to measure with."""

    photos: tyro.conf.Positional[pathlib.Path]
    """Folder of photos of one size."""
    masks: tyro.conf.Positional[pathlib.Path | None] = None
    """Folder of their masks, ids or 255, under the same names."""
    preset: str = "camvid"
    count: int = 20
    """How many photos, spread over the folder."""
    port: int = 8597
    requests: int = 0
    """How many requests to send at the end, from several clients at once."""
    clients: int = 8
    crop: tuple[int, int] = (120, 160)
    """Height and width of the photos of those requests, one in four a pixel
    less on each side."""


def main(settings):
    """Export, serve, ask and compare."""
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
        server, ask = start_server(base, settings.port)
        try:
            compare(segmenter, ask, photos, paths, settings.masks)
            if settings.requests:
                load(segmenter, ask, photos, settings)
        finally:
            server.terminate()
            server.wait()


def compare(segmenter, ask, photos, paths, masks_folder):
    """Ask server and segmenter the same, in turn, and print what differs."""
    from PIL import Image

    ask(photos[0]), segmenter.predict(photos[0])  # compiled and warm
    served, here, equal, confidence, is_right = [], [], [], [], []
    for path, photo in zip(paths, photos, strict=True):
        answer, seconds = timed(ask, photo)
        served.append(seconds)
        masks, seconds = timed(segmenter.predict, photo)
        here.append(seconds)
        equal.append(np.mean(answer["masks"] == masks))
        if masks_folder:
            truth = np.asarray(Image.open(masks_folder / path.name))
            counted = truth < segmenter.num_classes
            confidence.append(answer["confidence"][0][counted])
            is_right.append((answer["masks"][0] == truth)[counted])
    for name, seconds in (("served", served), ("predict", here)):
        print(
            f"{name}: median {1000 * np.median(seconds):.0f} ms, "
            f"fastest {1000 * min(seconds):.0f} ms"
        )
    print(f"equal pixels: {np.mean(equal):.6f}, worst {min(equal):.6f}")
    if masks_folder:
        confidence, is_right = map(np.concatenate, (confidence, is_right))
        print(f"right: {is_right.mean():.4f}")
        for name, group in (("right", is_right), ("wrong", ~is_right)):
            mean = confidence[group].mean()
            print(f"mean confidence of {name} pixels: {mean:.3f}")
        print(f"AUROC: {area_under_curve(confidence, is_right):.4f}")
        print(f"calibration error: {calibration(confidence, is_right):.4f}")


def load(segmenter, ask, photos, settings):
    """Ask from many sides at once and print how long that took."""
    height, width = settings.crop
    crops = []
    for index in range(settings.requests):
        less = index % 4 == 3
        photo = photos[index % len(photos)]
        crops.append(photo[:, : height - less, : width - less])
    with concurrent.futures.ThreadPoolExecutor(settings.clients) as clients:
        start = time.perf_counter()
        answers = list(clients.map(lambda photo: timed(ask, photo), crops))
        seconds = time.perf_counter() - start
    wrong = sum(
        np.mean(answer["masks"] == segmenter.predict(photo)) < 0.999
        for photo, (answer, _) in zip(crops[:20], answers, strict=False)
    )
    latencies = 1000 * np.array([latency for _, latency in answers])
    half, most, last = np.percentile(latencies, [50, 95, 100])
    print(
        f"{len(answers)} of {len(crops)} requests from {settings.clients} "
        f"clients answered in {seconds:.0f} s; median {half:.0f} ms, 95 % "
        f"{most:.0f} ms, longest {last:.0f} ms; {wrong} of 20 checked differ"
    )


def timed(function, *arguments, **keywords):
    """Return what a function returns, and seconds."""
    start = time.perf_counter()
    result = function(*arguments, **keywords)
    return result, time.perf_counter() - start


def start_server(base, port):
    """Start the tests' server in a process; return it and how to ask it."""
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
                raise SystemExit("The server ended.") from None
    return server, prediction_server.client(port)


def area_under_curve(scores, is_positive):
    """Return how often a positive scores above a negative, ties half."""
    _, which, counts = np.unique(
        scores, return_inverse=True, return_counts=True
    )
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[which]
    positive = is_positive.sum()
    above = ranks[is_positive].sum() - positive * (positive + 1) / 2
    return above / (positive * (len(scores) - positive))


def calibration(scores, is_right, bins=10):
    """Return the mean gap of confidence and share of right pixels."""
    which = np.minimum((scores * bins).astype(int), bins - 1)
    return sum(
        abs(is_right[which == i].mean() - scores[which == i].mean())
        * np.mean(which == i)
        for i in np.unique(which)
    )


if __name__ == "__main__":
    main(tyro.cli(Settings))
