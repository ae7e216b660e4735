"""Measure how time and memory scale with photo, batch and codebook size.

A segmenter with a light backbone and random weights predicts photos. Time is
CPU time, the minimum over rounds that alternate between all sizes; memory is
the peak that predicting adds, in a separate process. The exponent of a power
law is fitted to the upper half of the sizes, where constant costs matter less.

    KERAS_BACKEND=torch python benchmarks/growth.py
"""

import dataclasses
import pathlib
import time

import keras
import numpy as np
import tyro
from measuring import (
    in_new_process,
    peak_gigabytes,
    release_freed_memory,
)

import gss_keras

# Default values, and the values of the one size that varies.
FIXED = {"side": 128, "batch": 1, "codebook": 512}
VARIED = {
    "side": (128, 192, 256, 384, 512),
    "batch": (1, 2, 4, 8),
    "codebook": (512, 1024, 2048, 4096, 8192, 16384),
}
TITLES = {
    "side": "side of a square photo, pixels",
    "batch": "batch size",
    "codebook": "codebook size, tokens",
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """Command-line settings."""

    plot: pathlib.Path = pathlib.Path(__file__).with_suffix(".png")
    rounds: int = 2


def build(codebook):
    """Return an untrained segmenter with a codebook size."""
    keras.utils.set_random_seed(0)
    tokenizer = gss_keras.DiscreteVAE.from_preset("maskige", load_weights=False)
    sizes = tokenizer.get_config() | {"codebook_size": codebook}
    posterior = gss_keras.LatentPosterior(
        gss_keras.palettes.maximal_distance(11),
        gss_keras.DiscreteVAE.from_config(sizes),
    )
    prior = gss_keras.LatentPrior(
        gss_keras.backbones.EfficientNetLite(),
        posterior,
        level_channels=64,
        channels=128,
        heads=4,
        projection=256,
    )
    return gss_keras.GenerativeSegmenter(prior)


def call(segmenter, side, batch):
    """Return a function that predicts a batch of photos."""
    generator = np.random.default_rng(0)
    photos = generator.integers(0, 256, (batch, side, side, 3), "uint8")
    return lambda: segmenter.predict(photos, batch_size=batch)


def points():
    """Return all sizes to measure, as (side, batch size, codebook size)."""
    sizes = [
        FIXED | {name: value} for name, values in VARIED.items()
        for value in values
    ]  # fmt: skip
    return sorted({tuple(point.values()) for point in sizes})


def gigabytes():
    """Return a dict from sizes to the peak memory that predicting adds."""
    segmenters = {k: build(k) for _, _, k in points()}
    call(segmenters[FIXED["codebook"]], 32, 1)()  # warm-up
    return {
        (side, batch, codebook): peak_gigabytes(
            call(segmenters[codebook], side, batch)
        )
        for side, batch, codebook in points()
    }


def seconds(rounds):
    """Return a dict from sizes to the minimum CPU seconds of predicting."""
    segmenters = {k: build(k) for _, _, k in points()}
    calls = {
        (side, batch, codebook): call(segmenters[codebook], side, batch)
        for side, batch, codebook in points()
    }
    fastest = dict.fromkeys(calls, float("inf"))
    for number in range(rounds + 1):
        for point, function in calls.items():
            start = time.process_time()
            function()
            if number:  # the first round compiles
                elapsed = time.process_time() - start
                fastest[point] = min(fastest[point], elapsed)
    return fastest


def curve(name, measured):
    """Return the values of one size and the measurements at them."""
    values = [
        measured[tuple((FIXED | {name: value}).values())]
        for value in VARIED[name]
    ]
    return np.array(VARIED[name], "float"), np.array(values)


def exponent(sizes, values):
    """Return the exponent of a power law fitted to the upper half."""
    upper = len(sizes) // 2
    slope, _ = np.polyfit(np.log(sizes[upper:]), np.log(values[upper:]), 1)
    return slope


def plot(path, measures):
    """Save a figure of all curves."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot, ticker

    figure, rows = pyplot.subplots(
        len(measures), len(VARIED), figsize=(9, 5), layout="constrained",
        sharey="row",
    )  # fmt: skip
    for row, (unit, measured) in zip(rows, measures.items(), strict=True):
        row[0].set_ylabel(unit)
        for axes, name in zip(row, VARIED, strict=True):
            sizes, values = curve(name, measured)
            slope = exponent(sizes, values)
            axes.loglog(sizes, values, "o-", color="#0b5394")
            axes.set_title(f"exponent {slope:.2f}", fontsize=10)
            axes.set_xticks(sizes, [f"{int(n)}" for n in sizes])
            axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.minorticks_off()
            axes.tick_params(labelsize=8)
            axes.grid(alpha=0.3)
    for axes, name in zip(rows[-1], VARIED, strict=True):
        axes.set_xlabel(TITLES[name])
    figure.savefig(path, dpi=90)


def main(settings):
    """Print and plot all curves."""
    measures = {"CPU seconds": seconds(settings.rounds)}
    release_freed_memory()
    measures |= {
        "peak memory added, GB": in_new_process(gigabytes),
    }
    print("| size | measure | values | exponent |\n|---|---|---|---|")
    for name in VARIED:
        for unit, measured in measures.items():
            sizes, values = curve(name, measured)
            listed = ", ".join(
                f"{int(size)}: {value:.3g}"
                for size, value in zip(sizes, values, strict=True)
            )
            slope = exponent(sizes, values)
            print(f"| {TITLES[name]} | {unit} | {listed} | {slope:.2f} |")
    plot(settings.plot, measures)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
