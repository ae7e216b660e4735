"""Compare the chunked cross-entropy over the codebook with the full logits.

A training step of the token classifier alone, from the features of one photo
to the gradients of features and weights, with the chunked
`Vocabulary.cross_entropy` and with the cross-entropy of all logits at once.
Both are timed in alternation in one process, in CPU time of all threads.
Memory is the peak that a step allocates beyond features and weights, measured
in a separate process for each, in which malloc returns freed memory to the
system immediately. It is reported including and excluding the gradients of
features and weights, which both implementations allocate.

    KERAS_BACKEND=tensorflow python benchmarks/token_head.py
"""

import dataclasses
import time

import keras
import numpy as np
import tyro
from keras import ops
from measuring import (
    fastest_seconds,
    in_new_process,
    peak_gigabytes,
    release_freed_memory,
)

from gss_keras.layers.vocabulary import Vocabulary


@dataclasses.dataclass(frozen=True)
class Settings:
    """Command-line settings; defaults are the paper's sizes at 512 x 512."""

    side: int = 128
    """Side of the square token grid."""
    channels: int = 2048
    codebook_size: int = 8192
    rounds: int = 2


class Head(keras.Model):
    """Token classifier with trainable features; its input is ignored."""

    def __init__(self, settings, is_chunked):
        super().__init__()
        shape = 1, settings.side, settings.side, settings.channels
        self.is_chunked = is_chunked
        self.features = self.add_weight(shape=shape, initializer="normal")
        self.vocabulary = Vocabulary(settings.codebook_size)
        self.vocabulary.build(shape)
        tokens = np.arange(settings.side**2) % settings.codebook_size
        self.tokens = tokens.reshape(shape[:3]).astype("int32")
        self.built = True

    def call(self, x):
        return x

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        del x, y, y_pred, sample_weight
        features = ops.convert_to_tensor(self.features)
        tokens = ops.convert_to_tensor(self.tokens)
        if self.is_chunked:
            weights = ops.ones(self.tokens.shape)
            total, _ = self.vocabulary.cross_entropy(
                features, tokens, weights, training
            )
        else:
            losses = keras.losses.sparse_categorical_crossentropy(
                tokens, self.vocabulary(features), from_logits=True
            )
            total = ops.sum(losses)
        return total / self.tokens.size


def step_of(settings, is_chunked):
    """Return a callable that runs one training step with SGD."""
    model = Head(settings, is_chunked)
    model.compile(keras.optimizers.SGD(1e-3))
    unused = np.zeros((1, 1), "float32")
    return lambda: model.train_on_batch(unused)


def peak(settings, is_chunked):
    """Return the peak GB that a step allocates beyond features and weights."""
    step_of(dataclasses.replace(settings, side=2), is_chunked)()  # warm-up
    return peak_gigabytes(step_of(settings, is_chunked))


def main(settings):
    """Print a row for each implementation, and their ratios."""
    implementations = {"chunked": True, "full logits": False}
    steps = {
        name: step_of(settings, is_chunked)
        for name, is_chunked in implementations.items()
    }
    seconds = fastest_seconds(steps, settings.rounds, time.process_time)
    del steps
    release_freed_memory()
    memory = {
        name: in_new_process(peak, settings, is_chunked)
        for name, is_chunked in implementations.items()
    }
    positions = settings.side**2
    entries = (positions + settings.codebook_size) * settings.channels
    gradients = 4 * (entries + settings.codebook_size) / 2**30
    temporary = {name: value - gradients for name, value in memory.items()}
    flops = 6 * positions * settings.channels * settings.codebook_size
    print(
        "| cross-entropy | CPU s per step | memory added, GB | without "
        "gradients, GB | GFLOP/s |\n|---|---|---|---|---|"
    )
    for name in implementations:
        rate = flops / seconds[name] / 1e9
        print(
            f"| {name} | {seconds[name]:.2f} | {memory[name]:.3f} | "
            f"{temporary[name]:.3f} | {rate:.0f} |"
        )
    ratios = (
        values["chunked"] / values["full logits"]
        for values in (seconds, memory, temporary)
    )
    print(
        "\nThe chunked cross-entropy takes {:.2f} times the CPU time and "
        "{:.2f} times the memory, {:.2f} times without gradients.".format(
            *ratios
        )
    )


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
