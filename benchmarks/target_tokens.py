"""Compare encoders that compute a prior's target tokens by their speed.

Times a training step of CamVid's prior, as `recipes/train_camvid.py` builds
it, on 4 crops of 192 x 256, alternating between the encoders. Reported is CPU
time, which other jobs affect less than wall-clock time; use a single thread:

    TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 OMP_NUM_THREADS=1 \
    KERAS_BACKEND=tensorflow python benchmarks/target_tokens.py \
        --data-dir CamVid --direct outputs/direct_encoder/preset

Without `--direct`, a direct encoder with random weights is timed.
"""

import pathlib
import statistics
import time

import keras
import numpy as np
import tyro

import gss_keras
from gss_keras import data, training

HEAD = {
    "level_channels": 64, "channels": 128, "depth": 1, "heads": 4,
    "projection": 256,
}  # fmt: skip
CROP, BATCH = (192, 256), 4


def posteriors(direct):
    """Return a dict from the name of an encoder to a posterior with it."""
    exact = gss_keras.GenerativeSegmenter.from_preset("camvid").posterior
    if direct is None:
        encoder = gss_keras.DirectEncoder.for_posterior(exact)
    else:
        encoder = gss_keras.LatentPosterior.from_preset(direct).encoder
    return {
        "the tokenizer's": exact,
        "lookup": exact.with_encoder(
            gss_keras.LookupEncoder.for_posterior(exact)
        ),
        "direct": exact.with_encoder(encoder),
    }


def prior_on(posterior):
    """Return a compiled prior that learns the tokens of a posterior."""
    keras.utils.set_random_seed(0)
    backbone = training.build_backbone("efficientnet_lite0")
    backbone.freeze_up_to(4)
    prior = gss_keras.LatentPrior(backbone, posterior, **HEAD)
    training.compile_stage(prior, training.Schedule(1000, 2e-3, BATCH))
    return prior


def main(data_dir: pathlib.Path, direct: pathlib.Path | None = None,
         rounds: int = 6):  # fmt: skip
    """Print a row for each encoder.

    Args:
        data_dir: Folder of CamVid.
        direct: Preset of a posterior with a trained direct encoder; by
            default one with random weights is timed.
        rounds: Number of timed training steps.
    """
    train = data.load("camvid", data_dir, "train")
    batches = data.batches(
        train, BATCH, data.Augmentation(CROP, (0.6, 1.6), balance=0.5),
        seed=0, shuffle=True, repeat=True,
    )  # fmt: skip
    priors = {k: prior_on(p) for k, p in posteriors(direct).items()}
    seconds = {name: [] for name in priors}
    for number in range(rounds + 1):
        photos, masks = (np.asarray(a) for a in batches[number])
        for name, prior in priors.items():
            start = time.process_time()
            prior.train_on_batch(photos, masks)
            if number:  # the first round compiles
                seconds[name].append(time.process_time() - start)
    print("| encoder | median, s | fastest, s |\n|---|---|---|")
    for name, times in seconds.items():
        print(f"| {name} | {statistics.median(times):.2f} | {min(times):.2f} |")


if __name__ == "__main__":
    tyro.cli(main)
