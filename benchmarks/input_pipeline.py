"""How many photos per second the input pipeline yields, and what takes long.

Full-size miniatures of Cityscapes (1024 x 2048, crop 768) and ADE20K
(512 x 683, crop 512) go through `batches` with the published augmentation.
Their photos are 3.0 MB and 33 kB on average; Cityscapes' archive holds 5000
in 11 GB, ADE20K's 22,210 with their masks in 0.92 GB.

    KERAS_BACKEND=torch python benchmarks/input_pipeline.py

CPU seconds hardly depend on what else the machine does, photos per second
do: the load is printed with them. Measured, milliseconds of CPU a photo:

               decode photo  decode mask  scale  jitter  the rest  together
    Cityscapes         70.2         16.1   14.4     9.8       4.8     115.3
    ADE20K              2.8          3.0    5.3     4.8       3.1      19.2

So a core of its own yields 8.7 photos of Cityscapes a second, and PNG
decoding, of the whole photo whatever the crop, takes most of it; of ADE20K's
52, and no step stands out. With workers the process that trains spends 5 and
2 ms on a photo. On two cores that others kept busy (load average 9 to 11) it
was 3.5 photos of Cityscapes a second and 17 of ADE20K without workers, and no
more with them: how the pipeline grows with workers on idle cores has not been
measured.
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
    """What to measure."""

    folder: pathlib.Path = pathlib.Path(tempfile.gettempdir()) / "gss_input"
    """Where the miniatures are written, and found the next time."""
    photos: int = 12
    """Photos in a miniature."""
    rounds: int = 3
    """How often each photo is read when steps are timed."""
    batch_size: int = 4
    batches: int = 16
    """Batches that are timed with each number of workers."""
    workers: tuple[int, ...] = (0, 1, 2)


# Size of the photos, and augmentation.
CASES = {
    "cityscapes": ((1024, 2048), Augmentation((768, 768), fit=(2049, 1025))),
    "ade20k": ((512, 683), Augmentation((512, 512), fit=(2048, 512))),
}


def write_photos(name, size, settings):
    """Write a miniature, unless it is there, and return its source."""
    folder = settings.folder / f"{name}-{settings.photos}"
    counts = {"train": settings.photos}
    miniature.write(name, folder, size=size, counts=counts)
    return load(name, folder, "train")


class Stopwatch:
    """Adds up the CPU seconds of named steps."""

    def __init__(self):
        self.seconds = {}

    def time(self, step, function, *arguments):
        """Call a function and add its CPU time to a step."""
        start = time.process_time()
        result = function(*arguments)
        spent = time.process_time() - start
        self.seconds[step] = self.seconds.get(step, 0.0) + spent
        return result


def time_steps(source, augmentation, rounds):
    """Return the CPU milliseconds per photo of every step."""
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
    return {step: 1e3 * spent / count for step, spent in watch.seconds.items()}


def time_workers(source, augmentation, workers, settings):
    """Return photos per second, and CPU seconds per photo, of `batches`."""
    data = batches(
        source,
        settings.batch_size,
        augmentation,
        shuffle=True,
        repeat=True,
        workers=workers,
    )
    # As `fit` does: ahead of time, with one thread more than processes.
    with concurrent.futures.ThreadPoolExecutor(workers + 1) as threads:
        warm_up = workers + 1
        list(threads.map(data.__getitem__, range(warm_up)))
        start, cpu = time.perf_counter(), time.process_time()
        numbers = range(warm_up, warm_up + settings.batches)
        list(threads.map(data.__getitem__, numbers))
        seconds = time.perf_counter() - start
        cpu = time.process_time() - cpu
    data.close()
    count = settings.batches * settings.batch_size
    return count / seconds, cpu / count


def main(settings):
    """Print a table for each data set."""
    for name, (size, augmentation) in CASES.items():
        source = write_photos(name, size, settings)
        weights = [path.stat().st_size for path in source.photo_paths]
        print(f"{name}: {size[0]} x {size[1]}, crop {augmentation.crop[0]}, "
              f"{np.mean(weights) / 1e6:.2f} MB a photo")  # fmt: skip
        steps = time_steps(source, augmentation, settings.rounds)
        total = sum(steps.values())
        for step, spent in sorted(steps.items(), key=lambda item: -item[1]):
            print(f"  {step:14}{spent:7.1f} ms {100 * spent / total:4.0f} %")
        print(f"  {'together':14}{total:7.1f} ms of CPU a photo; "
              f"the bottleneck: {max(steps, key=steps.get)}")  # fmt: skip
        for workers in settings.workers:
            rate, cpu = time_workers(source, augmentation, workers, settings)
            print(f"  workers={workers}: {rate:5.1f} photos per second, "
                  f"{1e3 * cpu:.1f} ms of CPU a photo in this process, "
                  f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
                  flush=True)  # fmt: skip


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
