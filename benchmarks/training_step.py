"""One training step of a prior: seconds, memory, products, share of the peak.

The shipped preset `camvid`, and GSS-FF with ResNet-101 and a tokenizer of
DALL-E's sizes, of random weights. Seconds are the processor's with all its
threads, the fewest of some rounds. Memory is the most that a process of its
own held, libraries, weights and the optimizer's averages included, and what
the step added to that. Products are counted: three times a forward pass of
the prior, for a backward pass multiplies twice as much, and the frozen
encoder once. They are compared with what the backend reaches in a product of
two matrices of 2048 x 2048.

    KERAS_BACKEND=tensorflow python benchmarks/training_step.py
"""

import dataclasses
import time

import keras
import numpy as np
import tyro
from keras import ops
from measuring import (
    give_back_freed_memory,
    in_new_process,
    peak_flops,
    peak_gigabytes,
    seconds_in_turn,
)

import gss_keras
from gss_keras.ops.backend import keep_freed_memory
from gss_keras.ops.flops import count_products
from gss_keras.synthetic import streets


@dataclasses.dataclass(frozen=True)
class Settings:
    """Sizes."""

    presets: tuple[str, ...] = ("camvid", "gss_ff_resnet101_cityscapes")
    """Those of which the first one has weights."""
    crops: tuple[int, ...] = (192, 128)
    """Side of each one's square crops, in pixels."""
    batches: tuple[int, ...] = (4, 1)
    """Number of its crops."""
    rounds: int = 2


def build(preset, dtype=None):
    """Return a prior, ready to be trained."""
    prior = gss_keras.GenerativeSegmenter.from_preset(
        preset, load_weights=preset == "camvid", dtype=dtype
    ).prior
    prior.compile(keras.optimizers.AdamW(1e-6))
    return prior


def step_of(prior, size, batch):
    """Return a function that takes one step on drawn streets."""
    crops = streets.Streets(batch, 0, tuple(size))
    photos = np.stack([record["photo"] for record in crops])
    masks = np.stack([record["mask"] for record in crops])
    return lambda: prior.train_on_batch(photos, masks)


def memory(preset, side, batch):
    """Return the gigabytes that are held, and those that a step adds."""
    prior = build(preset)
    step_of(prior, (64, 64), 1)()  # starts up
    added = peak_gigabytes(step_of(prior, (side, side), batch))
    return peak_gigabytes(), added


def seconds(preset, side, batch, rounds):
    """Return the seconds of a step, its FLOPs, and the backend's FLOP/s."""
    keep_freed_memory()
    prior = build(preset)
    step = step_of(prior, (side, side), batch)
    fastest = seconds_in_turn({preset: step}, rounds, time.process_time)
    return fastest[preset], flops(prior, side, batch), peak_flops()


def flops(prior, side, batch):
    """Count the products of a step."""

    def forward(photos):
        return prior.vocabulary(prior(photos)["features"])

    def encode(masks):
        return prior.posterior.encode(ops.cast(masks, "int32"))

    trained = count_products(forward, (batch, side, side, 3))
    return 3 * trained + count_products(encode, (batch, side, side))


def main(settings):
    """Print a row for each prior."""
    print(
        "| prior | crops | processor s | GB held | GB added | GFLOP | GFLOP/s "
        "| of the peak, % |\n|---|---|---|---|---|---|---|---|"
    )
    rows = zip(settings.presets, settings.crops, settings.batches, strict=True)
    timed = {
        row: in_new_process(seconds, *row, settings.rounds)
        for row in list(rows)
    }
    give_back_freed_memory()
    for row, (spent, products, peak) in timed.items():
        preset, side, batch = row
        held, added = in_new_process(memory, *row)
        rate = products / spent
        print(
            f"| {preset} | {batch} of {side} x {side} | {spent:.2f} | "
            f"{held:.2f} | {added:.2f} | {products / 1e9:.0f} | "
            f"{rate / 1e9:.0f} | {100 * rate / peak:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
