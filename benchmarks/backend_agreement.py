"""Compare a preset's predictions across the three backends.

Runs the preset on TensorFlow, JAX and PyTorch, each in a separate process, on
synthetic street scenes, and compares token logits, tokens and masks with
TensorFlow's:

    python benchmarks/backend_agreement.py --preset outputs/quickstart/preset
"""

import dataclasses
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import tyro

BACKENDS = ("tensorflow", "jax", "torch")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Command-line settings."""

    preset: pathlib.Path
    photos: int = 8
    seed: int = 7


def predict(preset, photos, seed, path):
    """Save the preset's predictions on this process's backend."""
    import keras

    import gss_keras
    from gss_keras import data, synthetic

    segmenter = gss_keras.GenerativeSegmenter.from_preset(preset)
    scenes = synthetic.streets.Streets(count=photos, seed=seed)
    photos, _ = data.load_all(scenes)
    logits = segmenter.prior.token_logits(keras.ops.convert_to_tensor(photos))
    np.savez(
        path,
        token_logits=keras.ops.convert_to_numpy(logits),
        masks=segmenter.predict(photos),
    )


def main(settings):
    """Print the differences of each backend from the first one."""
    predictions = {}
    with tempfile.TemporaryDirectory() as folder:
        for backend in BACKENDS:
            path = pathlib.Path(folder, f"{backend}.npz")
            arguments = [settings.preset, settings.photos, settings.seed, path]
            subprocess.run(
                [sys.executable, __file__, "--predict", *map(str, arguments)],
                env={**os.environ, "KERAS_BACKEND": backend},
                check=True,
            )
            with np.load(path) as arrays:
                predictions[backend] = dict(arrays)
    reference = predictions[BACKENDS[0]]
    deviation = reference["token_logits"].std()
    print(f"maximum difference from {BACKENDS[0]}, {settings.photos} photos")
    for backend in BACKENDS[1:]:
        other = predictions[backend]
        difference = np.abs(
            other["token_logits"] - reference["token_logits"]
        ).max()
        tokens, masks = (
            100 * np.mean(expected == received)
            for expected, received in [
                (reference["token_logits"].argmax(-1),
                 other["token_logits"].argmax(-1)),
                (reference["masks"], other["masks"]),
            ]
        )  # fmt: skip
        print(
            f"{backend:<8}token logits {difference:.1e} "
            f"({difference / deviation:.1e} standard deviations), "
            f"equal tokens {tokens:.3f} %, "
            f"equal mask pixels {masks:.3f} %"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--predict"]:
        preset, count, seed, path = sys.argv[2:]
        predict(preset, int(count), int(seed), path)
    else:
        main(tyro.cli(Settings, description=__doc__))
