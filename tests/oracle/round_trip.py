"""Compare a converted full-size checkpoint with its reference outputs.

The first command writes a checkpoint with random weights and the reference
outputs for a photo, in the environment of `tests/oracle`; the second converts
it. All are run from the repository's root:

    python -m tests.oracle checkpoint gss_ff_resnet101_cityscapes ff.pth
    python -m weights_conversion.gss --checkpoint ff.pth --output converted
    python tests/oracle/round_trip.py --preset converted \
        --reference ff.pth.reference.npz

The last one prints the differences of the preset at each stage on the current
backend, and the latency and the peak memory of segmenting the photo. It is a
script, since importing `tests.oracle` needs PyTorch.
"""

import dataclasses
import pathlib
import resource
import sys
import time

import keras
import numpy as np
import tyro

import gss_keras
from weights_conversion.golden.comparison import CLEAR, agree, compare


@dataclasses.dataclass(frozen=True)
class Settings:
    """Command-line settings."""

    preset: pathlib.Path
    reference: pathlib.Path


def compare_all(segmenter, reference):
    """Compare every stage from photo to mask; yield a `Row` for each."""
    photos = reference["photo"][None]
    prior, posterior = segmenter.prior, segmenter.posterior
    features = prior.backbone.predict_on_batch(photos).values()
    for level, feature_map in enumerate(features):
        expected = reference[f"feature{level}"].transpose(0, 2, 3, 1)
        yield compare(f"feature {level}", feature_map, expected)
    logits = prior.token_logits(keras.ops.convert_to_tensor(photos))
    logits = keras.ops.convert_to_numpy(logits)
    expected = reference["token_logits"].transpose(0, 2, 3, 1)
    yield compare("token logits", logits, expected)
    is_clear = reference["token_margin"] > CLEAR * expected.std()
    tokens = reference["tokens"]
    yield agree("tokens", logits.argmax(-1), tokens, is_clear)
    maskige = keras.ops.convert_to_numpy(posterior.tokenizer.decode(tokens))
    expected = reference["maskige"].transpose(0, 2, 3, 1) / 255
    yield compare("maskige", maskige, expected)
    if "real_logits" in reference:
        scores = keras.ops.convert_to_numpy(posterior.inverse(expected))
        expected = reference["real_logits"].transpose(0, 2, 3, 1)
        yield compare("class logits", scores, expected)
    masks = segmenter.predict(photos, window="whole")
    yield agree("mask", masks, reference["pred"], least=0.995)


def main(settings):
    """Print a row for each stage, and latency and memory of one photo."""
    segmenter = gss_keras.GenerativeSegmenter.from_preset(settings.preset)
    reference = np.load(settings.reference)
    print(f"on Keras' {keras.backend.backend()} backend")
    passed = True
    for row in compare_all(segmenter, reference):
        print(
            f"{row.stage:<14} {row.measure}{'' if row.is_passed else ' FAILED'}"
        )
        passed &= row.is_passed
    start = time.perf_counter()
    segmenter.predict(reference["photo"], window="whole")
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    height, width = reference["photo"].shape[:2]
    print(f"{height} x {width} in {seconds:.1f} s, peak memory {peak:.1f} GB")
    if not passed:
        sys.exit(1)


if __name__ == "__main__":
    main(tyro.cli(Settings))
