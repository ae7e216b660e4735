"""Compare methods by parameters, FLOPs, time and peak memory.

Each row is a method of `recipes/compare_discriminative.py` at the sizes it is
trained with. Training steps and inference of all methods are timed in
alternation in one process, and the fastest round counts. Peak memory of three
training steps and one photo is measured in a separate process for each
method, and for comparison in one that only imports the libraries.

    KERAS_BACKEND=tensorflow python benchmarks/comparison_costs.py
"""

import dataclasses
import functools
import pathlib
import sys

import numpy as np
import tyro
from measuring import fastest_seconds, in_new_process, peak_gigabytes

sys.path.append(str(pathlib.Path(__file__).parents[1] / "recipes"))
import compare_discriminative as comparison

from gss_keras import training
from gss_keras.ops.flops import count_flops

METHODS = ("fcn", "segformer", "deeplab_v3_plus", "gss-ff")
NUM_CLASSES = 11


@dataclasses.dataclass(frozen=True)
class Settings:
    """Command-line settings."""

    methods: tuple[str, ...] = METHODS
    rounds: int = 6


def build(method):
    """Return a compiled model, its segmenter, a training batch and a photo."""
    settings = comparison.Settings()
    model, segmenter = comparison.build(settings, method, NUM_CLASSES)
    training.compile_stage(model, training.Schedule(100, 1e-3, 8, 10))
    model.build_optimizer()
    generator = np.random.default_rng(0)
    shape = (settings.batch_size, *settings.crop)
    photos = generator.integers(0, 256, (*shape, 3)).astype("uint8")
    masks = generator.integers(0, NUM_CLASSES, shape).astype("int32")
    width, height = settings.fit
    photo = generator.integers(0, 256, (height, width, 3)).astype("uint8")
    return model, segmenter, (photos, masks), photo


def peak_memory(method):
    """Return peak memory in GB; call it in a separate process."""
    if method:
        model, segmenter, batch, photo = build(method)
        for _ in range(3):
            model.train_on_batch(*batch)
        segmenter.predict(photo)
    return peak_gigabytes()


def main(settings):
    """Print a row for each method."""
    baseline = in_new_process(peak_memory, None)
    memory = {m: in_new_process(peak_memory, m) for m in settings.methods}
    built = {method: build(method) for method in settings.methods}
    steps = fastest_seconds(
        {
            method: functools.partial(model.train_on_batch, *batch)
            for method, (model, _, batch, _) in built.items()
        },
        settings.rounds,
    )
    photos = fastest_seconds(
        {
            method: functools.partial(segmenter.predict, photo)
            for method, (_, segmenter, _, photo) in built.items()
        },
        settings.rounds,
    )
    print(
        "| method | parameters, M | without backbone, M | "
        "GFLOP per photo | s per step | s per photo | peak memory, GB |"
    )
    print("|---|---|---|---|---|---|---|")
    for method, (model, segmenter, _, photo) in built.items():
        trainable = sum(part.count_params() for part in model.learned_layers())
        backbone = model.backbone.count_params()
        flops = count_flops(segmenter, (1, *photo.shape)) / 1e9
        print(
            f"| {method} | {trainable / 1e6:.2f} | "
            f"{(trainable - backbone) / 1e6:.2f} | {flops:.2f} | "
            f"{steps[method]:.2f} | {photos[method]:.3f} | "
            f"{memory[method]:.2f} |"
        )
    print(f"\nPeak memory of the imports alone: {baseline:.2f} GB.")


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
