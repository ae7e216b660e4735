"""A full-size checkpoint, converted, against the official modules in PyTorch.

`tests/oracle` writes a checkpoint of random weights and, beside it,
what the official modules make of one photo. Once it is converted,

    python -m weights_conversion.gss --checkpoint ff.pth --output converted
    python tests/oracle/round_trip.py --preset converted \
        --reference ff.pth.reference.npz

prints how far the preset is from them, stage by stage, on the current
backend, with the time and the peak memory of segmenting that photo.
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
    """What to compare."""

    preset: pathlib.Path
    reference: pathlib.Path


def compare_all(segmenter, reference):
    """Yield one row for each stage from photo to mask."""
    photos = reference["photo"][None]
    prior, posterior = segmenter.prior, segmenter.posterior
    features = prior.backbone.predict_on_batch(photos).values()
    for level, map_ in enumerate(features):
        expected = reference[f"feature{level}"].transpose(0, 2, 3, 1)
        yield compare(f"feature {level}", map_, expected)
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
    """Print one row a stage, then the time and memory of one photo."""
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
