"""Whole segmenters: with the tokenizer's decoder or a direct one in its place.

The shipped preset `camvid` at three sizes, and GSS-FF with ResNet-101 and a
tokenizer of DALL-E's size, both of random weights. A direct decoder costs
the same trained or not; it is not trained here. Each model segments one photo
in a process of its own, with `predict`; the two of a pair run in turns.
Seconds are those that the processor worked. Memory is the most that the
process held, with libraries and weights, and what the photo added to that.
The peak is what the backend reaches in a product of large matrices.

    KERAS_BACKEND=torch python benchmarks/segmenter_speed.py
"""

import dataclasses
import time

import numpy as np
import tyro
from measuring import in_new_process, peak_flops, peak_gigabytes

import gss_keras
from gss_keras.ops.flops import count_products

RESNET = "gss_ff_resnet101_cityscapes"
DECODERS = "tokenizer's", "direct"


@dataclasses.dataclass(frozen=True)
class Settings:
    """Sizes."""

    sides: tuple[int, ...] = (256, 512, 768)
    """Of the square photos for `camvid`, in pixels."""
    resnet_sides: tuple[int, ...] = (512,)
    """Of those for ResNet-101; each takes minutes."""
    rounds: int = 3
    """How often `camvid` segments a photo; ResNet-101 does once."""


def build(preset, decoder, dtype=None):
    """Return a segmenter with the decoder that is asked for."""
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
    """Return seconds, GFLOP, % of the peak, and GB in all and for the photo."""
    segmenter = build(preset, decoder)
    generator = np.random.default_rng(0)
    photo = generator.integers(0, 256, (1, side, side, 3)).astype("uint8")
    segmenter.predict(photo[:, :64, :64])  # starts up
    seconds = []

    def segment():
        start = time.process_time()
        segmenter.predict(photo)
        seconds.append(time.process_time() - start)

    added = peak_gigabytes(segment)
    held = peak_gigabytes()
    for _ in range(rounds - 1):
        segment()
    flops = count_products(segmenter, photo.shape)
    share = 100 * flops / min(seconds) / peak_flops()
    return min(seconds), flops / 1e9, share, held, added


def main(settings):
    """Print a row for each photo."""
    columns = ["s", "GFLOP", "% of the peak", "GB", "GB added"]
    heads = [f"{decoder}, {c}" for c in columns for decoder in DECODERS]
    print(
        f"| segmenter | side | times faster | {' | '.join(heads)} |\n"
        f"|{'---|' * (3 + len(heads))}"
    )
    rows = [("camvid", side, settings.rounds) for side in settings.sides]
    rows += [(RESNET, side, 1) for side in settings.resnet_sides]
    for preset, side, rounds in rows:
        tokenizers, direct = (
            in_new_process(measure, preset, decoder, side, rounds)
            for decoder in DECODERS
        )
        pairs = zip(tokenizers, direct, strict=True)
        found = [f"{value:.2f}" for pair in pairs for value in pair]
        print(
            f"| {preset} | {side} | {tokenizers[0] / direct[0]:.2f} | "
            f"{' | '.join(found)} |",
            flush=True,
        )


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
