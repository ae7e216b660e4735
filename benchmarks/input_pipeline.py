"""Measure the throughput of the input pipeline and the cost of its stages.

Miniatures of Cityscapes (1024 x 2048, crop 768) and ADE20K (512 x 683,
crop 512) with full-size photos are read by `batches` with the published
augmentation. Their photos take 3.0 MB and 33 kB on average; the archive of
Cityscapes has 5000 photos in 11 GB, that of ADE20K 22,210 with their masks in
0.92 GB.

    KERAS_BACKEND=torch python benchmarks/input_pipeline.py

CPU time hardly depends on other jobs, throughput does, so the load average
is printed with it. Measured CPU milliseconds per photo:

               decode photo  decode mask  scale  jitter  other  total
    Cityscapes         70.2         16.1   14.4     9.8    4.8  115.3
    ADE20K              2.8          3.0    5.3     4.8    3.1   19.2

A dedicated core therefore yields 8.7 photos of Cityscapes per second, most of
the time spent on PNG decoding, which decodes the whole photo whatever the
crop; and 52 photos of ADE20K, without a dominant stage. With workers, the
training process spends 5 and 2 ms per photo. On two cores that other jobs kept
busy (load average 9 to 11) the throughput was 3.5 photos of Cityscapes and 17
of ADE20K per second without workers, and no higher with workers. How
throughput scales with workers on idle cores has not been measured.
"""

import concurrent.futures
import dataclasses
import os
import pathlib
import pickle
import tempfile
import time

import numpy as np
import tyro

from gss_keras.data import Augmentation, batches, load, transforms
from gss_keras.data.files import read_photo
from gss_keras.synthetic import miniature


@dataclasses.dataclass(frozen=True)
class Settings:
    """Command-line settings."""

    folder: pathlib.Path = pathlib.Path(tempfile.gettempdir()) / "gss_input"
    """Folder of the miniatures; existing ones are reused."""
    photos: int = 12
    """Number of photos in a miniature."""
    rounds: int = 3
    """Number of passes over the photos when stages are timed."""
    batch_size: int = 4
    batches: int = 16
    """Number of batches that are timed with each number of workers."""
    workers: tuple[int, ...] = (0, 1, 2)


# Size of the photos, and their augmentation.
CASES = {
    "cityscapes": ((1024, 2048), Augmentation((768, 768), fit=(2049, 1025))),
    "ade20k": ((512, 683), Augmentation((512, 512), fit=(2048, 512))),
}


def write_photos(name, size, settings):
    """Write a miniature unless it exists, and return its data source."""
    folder = settings.folder / f"{name}-{settings.photos}"
    counts = {"train": settings.photos}
    miniature.write(name, folder, size=size, counts=counts)
    return load(name, folder, "train")


class Stopwatch:
    """Accumulates the CPU time of named stages."""

    def __init__(self):
        self.seconds = {}

    def time(self, stage, function, *arguments):
        """Call a function and add its CPU time to a stage."""
        start = time.process_time()
        result = function(*arguments)
        elapsed = time.process_time() - start
        self.seconds[stage] = self.seconds.get(stage, 0.0) + elapsed
        return result


def time_stages(source, augmentation, rounds):
    """Return a dict from stage to CPU milliseconds per photo."""
    watch = Stopwatch()
    generator = np.random.default_rng(0)
    for index in list(range(len(source))) * rounds:
        photo = watch.time(
            "decode photo", read_photo, source.photo_paths[index]
        )
        mask = watch.time(
            "decode mask", source._read_mask, source.mask_paths[index]
        )
        scale = generator.uniform(*augmentation.scale_range)
        scale *= transforms.fit_scale(mask.shape, augmentation.fit)
        window = watch.time(
            "choose crop", augmentation._draw_window, mask, scale, generator
        )
        photo, mask = watch.time(
            "scale", transforms._scale_window, photo, mask, window
        )
        photo = watch.time(
            "jitter", augmentation.color_jitter, photo[:, ::-1], generator
        )
        record = watch.time(
            "pad", transforms._pad, photo, mask[:, ::-1], augmentation.crop
        )
        content = watch.time("pickle", pickle.dumps, record)
        watch.time("unpickle", pickle.loads, content)
    count = len(source) * rounds
    return {stage: 1e3 * s / count for stage, s in watch.seconds.items()}


def time_workers(source, augmentation, workers, settings):
    """Return the photos per second and CPU seconds per photo of `batches`."""
    data = batches(
        source,
        settings.batch_size,
        augmentation,
        shuffle=True,
        repeat=True,
        workers=workers,
    )
    # Prefetch as `fit` does, with one thread more than worker processes.
    with concurrent.futures.ThreadPoolExecutor(workers + 1) as threads:
        warm_up = workers + 1
        list(threads.map(data.__getitem__, range(warm_up)))
        start, cpu = time.perf_counter(), time.process_time()
        timed = range(warm_up, warm_up + settings.batches)
        list(threads.map(data.__getitem__, timed))
        seconds = time.perf_counter() - start
        cpu = time.process_time() - cpu
    data.close()
    count = settings.batches * settings.batch_size
    return count / seconds, cpu / count


def main(settings):
    """Print a table for each data set."""
    for name, (size, augmentation) in CASES.items():
        source = write_photos(name, size, settings)
        sizes = [path.stat().st_size for path in source.photo_paths]
        print(f"{name}: {size[0]} x {size[1]}, crop {augmentation.crop[0]}, "
              f"{np.mean(sizes) / 1e6:.2f} MB per photo")  # fmt: skip
        stages = time_stages(source, augmentation, settings.rounds)
        total = sum(stages.values())
        for stage, cost in sorted(stages.items(), key=lambda item: -item[1]):
            print(f"  {stage:14}{cost:7.1f} ms {100 * cost / total:4.0f} %")
        print(f"  {'total':14}{total:7.1f} ms of CPU time per photo; "
              f"bottleneck: {max(stages, key=stages.get)}")  # fmt: skip
        for workers in settings.workers:
            rate, cpu = time_workers(source, augmentation, workers, settings)
            print(f"  workers={workers}: {rate:5.1f} photos per second, "
                  f"{1e3 * cpu:.1f} ms of CPU time per photo in this process, "
                  f"load average {os.getloadavg()[0]:.1f} "
                  f"on {os.cpu_count()} cores",
                  flush=True)  # fmt: skip


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
