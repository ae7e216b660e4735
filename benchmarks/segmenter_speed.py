"""Compare segmenters with the tokenizer's decoder and with a direct decoder.

The bundled preset `camvid` at three photo sizes, and GSS-FF with ResNet-101
and a tokenizer of DALL-E's size with random weights. The direct decoder is
untrained, which does not change its cost. Each model runs `predict` on one
photo in a separate process, one decoder after the other. Time is CPU time.
Memory is the peak of the process, libraries and weights included, and what the
photo adds to it. Utilization is relative to the FLOP/s that the backend
reaches in a product of large matrices.

    KERAS_BACKEND=torch python benchmarks/segmenter_speed.py
"""

import dataclasses
import time

import numpy as np
import tyro
from measuring import in_new_process, peak_flops, peak_gigabytes

import gss_keras
from gss_keras.ops.flops import count_flops

RESNET = "gss_ff_resnet101_cityscapes"
DECODERS = "tokenizer's", "direct"


@dataclasses.dataclass(frozen=True)
class Settings:
    """Command-line settings."""

    sides: tuple[int, ...] = (256, 512, 768)
    """Sides of the square photos for `camvid`, in pixels."""
    resnet_sides: tuple[int, ...] = (512,)
    """Sides of those for ResNet-101; each takes minutes."""
    rounds: int = 3
    """Number of timed calls of `camvid`; ResNet-101 has one."""


def build(preset, decoder, dtype=None):
    """Return a segmenter with the named decoder."""
    segmenter = gss_keras.GenerativeSegmenter.from_preset(
        preset, load_weights=preset != RESNET, dtype=dtype
    )
    if decoder == "direct":
        direct = gss_keras.DirectDecoder.for_posterior(segmenter.posterior)
        segmenter = gss_keras.GenerativeSegmenter(
            segmenter.prior, decoder=direct
        )
    return segmenter


def measure(preset, decoder, side, rounds):
    """Return CPU seconds, GFLOP, utilization in %, peak and added GB."""
    segmenter = build(preset, decoder)
    generator = np.random.default_rng(0)
    photo = generator.integers(0, 256, (1, side, side, 3)).astype("uint8")
    segmenter.predict(photo[:, :64, :64])  # warm-up
    seconds = []

    def segment():
        start = time.process_time()
        segmenter.predict(photo)
        seconds.append(time.process_time() - start)

    added = peak_gigabytes(segment)
    peak = peak_gigabytes()
    for _ in range(rounds - 1):
        segment()
    flops = count_flops(segmenter, photo.shape)
    utilization = 100 * flops / min(seconds) / peak_flops()
    return min(seconds), flops / 1e9, utilization, peak, added


def main(settings):
    """Print a row for each photo."""
    quantities = ["CPU s", "GFLOP", "% of peak FLOP/s", "peak GB", "GB added"]
    columns = [f"{decoder}, {q}" for q in quantities for decoder in DECODERS]
    print(
        f"| segmenter | side | speedup | {' | '.join(columns)} |\n"
        f"|{'---|' * (3 + len(columns))}"
    )
    rows = [("camvid", side, settings.rounds) for side in settings.sides]
    rows += [(RESNET, side, 1) for side in settings.resnet_sides]
    for preset, side, rounds in rows:
        tokenizers, direct = (
            in_new_process(measure, preset, decoder, side, rounds)
            for decoder in DECODERS
        )
        pairs = zip(tokenizers, direct, strict=True)
        cells = [f"{value:.2f}" for pair in pairs for value in pair]
        print(
            f"| {preset} | {side} | {tokenizers[0] / direct[0]:.2f} | "
            f"{' | '.join(cells)} |",
            flush=True,
        )


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
