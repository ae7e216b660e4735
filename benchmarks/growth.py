"""How time and memory grow with the photo's side, the batch and the codebook.

A whole segmenter with a light backbone and random weights predicts photos.
Seconds are the processor's, the least of some rounds in turns over all sizes;
memory is what predicting adds at most, in another process. The exponent of a
curve is fitted to the upper half of its sizes: below, constants count.

    KERAS_BACKEND=torch python benchmarks/growth.py
"""

import dataclasses
import pathlib
import time

import keras
import numpy as np
import tyro
from measuring import (
    give_back_freed_memory,
    in_new_process,
    peak_gigabytes,
)

import gss_keras

# What varies, its values, and the two others' values meanwhile.
FIXED = {"side": 128, "batch": 1, "codebook": 512}
VARIED = {
    "side": (128, 192, 256, 384, 512),
    "batch": (1, 2, 4, 8),
    "codebook": (512, 1024, 2048, 4096, 8192, 16384),
}
TITLES = {
    "side": "side of a square photo, pixels",
    "batch": "photos at a time",
    "codebook": "tokens in the codebook",
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to measure."""

    plot: pathlib.Path = pathlib.Path(__file__).with_suffix(".png")
    rounds: int = 2


def build(codebook):
    """Return a segmenter with a codebook of some size, untrained."""
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
    """List every size to measure, as side, batch and size of the codebook."""
    chosen = [
        FIXED | {name: value} for name, values in VARIED.items()
        for value in values
    ]  # fmt: skip
    return sorted({tuple(point.values()) for point in chosen})


def gigabytes():
    """Return what predicting adds at most, by point."""
    segmenters = {k: build(k) for _, _, k in points()}
    call(segmenters[FIXED["codebook"]], 32, 1)()  # starts up
    return {
        (side, batch, codebook): peak_gigabytes(
            call(segmenters[codebook], side, batch)
        )
        for side, batch, codebook in points()
    }


def seconds(rounds):
    """Return the least processor seconds of predicting, by point."""
    segmenters = {k: build(k) for _, _, k in points()}
    calls = {
        (side, batch, codebook): call(segmenters[codebook], side, batch)
        for side, batch, codebook in points()
    }
    least = dict.fromkeys(calls, float("inf"))
    for number in range(rounds + 1):
        for point, function in calls.items():
            start = time.process_time()
            function()
            if number:  # the first round compiles
                spent = time.process_time() - start
                least[point] = min(least[point], spent)
    return least


def curve(name, measured):
    """Return the sizes along which one thing varies, and what was measured."""
    found = [
        measured[tuple((FIXED | {name: value}).values())]
        for value in VARIED[name]
    ]
    return np.array(VARIED[name], "float"), np.array(found)


def exponent(sizes, found):
    """Fit a power of the size to the upper half of a curve."""
    upper = len(sizes) // 2
    slope, _ = np.polyfit(np.log(sizes[upper:]), np.log(found[upper:]), 1)
    return slope


def draw(path, measures):
    """Save a picture of every curve."""
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
            sizes, found = curve(name, measured)
            slope = exponent(sizes, found)
            axes.loglog(sizes, found, "o-", color="#0b5394")
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
    """Print every curve and draw them."""
    measures = {"processor seconds": seconds(settings.rounds)}
    give_back_freed_memory()
    measures |= {
        "GB added at most": in_new_process(gigabytes),
    }
    print("| what grows | measure | values | exponent |\n|---|---|---|---|")
    for name in VARIED:
        for unit, measured in measures.items():
            sizes, found = curve(name, measured)
            listed = ", ".join(
                f"{int(size)}: {value:.3g}"
                for size, value in zip(sizes, found, strict=True)
            )
            slope = exponent(sizes, found)
            print(f"| {TITLES[name]} | {unit} | {listed} | {slope:.2f} |")
    draw(settings.plot, measures)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
