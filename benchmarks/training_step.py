"""Measure time, memory, FLOPs and utilization of a prior's training step.

The bundled preset `camvid`, and GSS-FF with ResNet-101 and a tokenizer of
DALL-E's sizes with random weights. Time is the CPU time of all threads in the
fastest round. Memory is the peak of a separate process, libraries, weights and
optimizer state included, and what the step adds to it. FLOPs are three times
those of the prior's forward pass, since a backward pass costs twice as much,
plus those of the frozen encoder. Utilization is relative to the FLOP/s that
the backend reaches in a product of two matrices of 2048 x 2048.

    KERAS_BACKEND=tensorflow python benchmarks/training_step.py
"""

import dataclasses
import time

import keras
import numpy as np
import tyro
from keras import ops
from measuring import (
    fastest_seconds,
    in_new_process,
    peak_flops,
    peak_gigabytes,
    release_freed_memory,
)

import gss_keras
from gss_keras.ops.flops import count_flops
from gss_keras.ops.private import keep_freed_memory
from gss_keras.synthetic import streets


@dataclasses.dataclass(frozen=True)
class Settings:
    """Command-line settings."""

    presets: tuple[str, ...] = ("camvid", "gss_ff_resnet101_cityscapes")
    """Presets; only `camvid` is loaded with weights."""
    crops: tuple[int, ...] = (192, 128)
    """Side of the square crops for each preset, in pixels."""
    batches: tuple[int, ...] = (4, 1)
    """Batch size for each preset."""
    rounds: int = 2


def build(preset, dtype=None):
    """Return a compiled prior."""
    prior = gss_keras.GenerativeSegmenter.from_preset(
        preset, load_weights=preset == "camvid", dtype=dtype
    ).prior
    prior.compile(keras.optimizers.AdamW(1e-6))
    return prior


def step_of(prior, size, batch):
    """Return a callable that runs one step on synthetic street scenes."""
    crops = streets.Streets(batch, 0, tuple(size))
    photos = np.stack([record["photo"] for record in crops])
    masks = np.stack([record["mask"] for record in crops])
    return lambda: prior.train_on_batch(photos, masks)


def memory(preset, side, batch):
    """Return the peak memory in GB, and what a step adds to it."""
    prior = build(preset)
    step_of(prior, (64, 64), 1)()  # warm-up
    added = peak_gigabytes(step_of(prior, (side, side), batch))
    return peak_gigabytes(), added


def seconds(preset, side, batch, rounds):
    """Return CPU seconds and FLOPs of a step, and the backend's FLOP/s."""
    keep_freed_memory()
    prior = build(preset)
    step = step_of(prior, (side, side), batch)
    fastest = fastest_seconds({preset: step}, rounds, time.process_time)
    return fastest[preset], flops(prior, side, batch), peak_flops()


def flops(prior, side, batch):
    """Count the FLOPs of a training step."""

    def forward(photos):
        return prior.vocabulary(prior(photos)["features"])

    def encode(masks):
        return prior.posterior.encode(ops.cast(masks, "int32"))

    prior_flops = count_flops(forward, (batch, side, side, 3))
    return 3 * prior_flops + count_flops(encode, (batch, side, side))


def main(settings):
    """Print a row for each prior."""
    print(
        "| prior | crops | CPU s | peak GB | GB added | GFLOP | GFLOP/s "
        "| % of peak FLOP/s |\n|---|---|---|---|---|---|---|---|"
    )
    rows = zip(settings.presets, settings.crops, settings.batches, strict=True)
    timed = {
        row: in_new_process(seconds, *row, settings.rounds)
        for row in list(rows)
    }
    release_freed_memory()
    for row, (elapsed, step_flops, matmul_rate) in timed.items():
        preset, side, batch = row
        peak, added = in_new_process(memory, *row)
        rate = step_flops / elapsed
        print(
            f"| {preset} | {batch} of {side} x {side} | {elapsed:.2f} | "
            f"{peak:.2f} | {added:.2f} | {step_flops / 1e9:.0f} | "
            f"{rate / 1e9:.0f} | {100 * rate / matmul_rate:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
