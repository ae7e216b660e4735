"""How far the backends differ in what one preset answers.

Runs the preset on TensorFlow, JAX and PyTorch, each in a process of its own,
on photos of drawn streets, and compares token logits, tokens and masks with
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
    """What to compare."""

    preset: pathlib.Path
    photos: int = 8
    seed: int = 7


def answer(preset, photos, seed, path):
    """Write what the preset answers on this process' backend."""
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
    """Compare the backends and print a row for each."""
    answers = {}
    with tempfile.TemporaryDirectory() as folder:
        for backend in BACKENDS:
            path = pathlib.Path(folder, f"{backend}.npz")
            arguments = [settings.preset, settings.photos, settings.seed, path]
            subprocess.run(
                [sys.executable, __file__, "--answer", *map(str, arguments)],
                env={**os.environ, "KERAS_BACKEND": backend},
                check=True,
            )
            with np.load(path) as arrays:
                answers[backend] = dict(arrays)
    ours = answers[BACKENDS[0]]
    deviation = ours["token_logits"].std()
    print(f"largest difference from {BACKENDS[0]}, {settings.photos} photos")
    for backend in BACKENDS[1:]:
        theirs = answers[backend]
        apart = np.abs(theirs["token_logits"] - ours["token_logits"]).max()
        tokens, masks = (
            100 * np.mean(one == other)
            for one, other in [
                (ours["token_logits"].argmax(-1),
                 theirs["token_logits"].argmax(-1)),
                (ours["masks"], theirs["masks"]),
            ]
        )  # fmt: skip
        print(
            f"{backend:<8}token logits {apart:.1e} "
            f"({apart / deviation:.1e} of std), equal tokens {tokens:.3f} %, "
            f"equal mask pixels {masks:.3f} %"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--answer"]:
        preset, count, seed, path = sys.argv[2:]
        answer(preset, int(count), int(seed), path)
    else:
        main(tyro.cli(Settings, description=__doc__))
