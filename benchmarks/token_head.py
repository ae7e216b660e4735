"""The classifier over the codebook: in chunks against all logits at once.

One training step of the head alone, from the features of one photo to the
gradients of features and weights, in two ways: as `Vocabulary.cross_entropy`
does it, and with plain cross-entropy of all logits. Both are timed in turns
in one process, in seconds of the processor with all its threads. Memory is
what a step adds at most to features and weights, in a process of each way's
own that keeps nothing it was given back: once with the gradients of features
and weights, which both have to make, and once without.

    KERAS_BACKEND=tensorflow python benchmarks/token_head.py
"""

import dataclasses
import time

import keras
import numpy as np
import tyro
from keras import ops
from measuring import (
    give_back_freed_memory,
    in_new_process,
    peak_gigabytes,
    seconds_in_turn,
)

from gss_keras.layers.vocabulary import Vocabulary


@dataclasses.dataclass(frozen=True)
class Settings:
    """Sizes; the defaults are those of the paper at 512 x 512."""

    side: int = 128
    """Tokens along a side of the square photo."""
    channels: int = 2048
    codebook_size: int = 8192
    rounds: int = 2


class Head(keras.Model):
    """Learns features and their classifier; its input only names the step."""

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
            counted = ops.ones(self.tokens.shape)
            total, _ = self.vocabulary.cross_entropy(
                features, tokens, counted, training
            )
        else:
            losses = keras.losses.sparse_categorical_crossentropy(
                tokens, self.vocabulary(features), from_logits=True
            )
            total = ops.sum(losses)
        return total / self.tokens.size


def step_of(settings, is_chunked):
    """Return a function that takes one training step of plain SGD."""
    model = Head(settings, is_chunked)
    model.compile(keras.optimizers.SGD(1e-3))
    nothing = np.zeros((1, 1), "float32")
    return lambda: model.train_on_batch(nothing)


def peak(settings, is_chunked):
    """Return the gigabytes that a step adds to features and weights."""
    step_of(dataclasses.replace(settings, side=2), is_chunked)()  # starts up
    return peak_gigabytes(step_of(settings, is_chunked))


def main(settings):
    """Print one row for each way, and their ratio."""
    ways = {"in chunks": True, "all at once": False}
    steps = {name: step_of(settings, way) for name, way in ways.items()}
    seconds = seconds_in_turn(steps, settings.rounds, time.process_time)
    del steps
    give_back_freed_memory()
    memory = {
        name: in_new_process(peak, settings, is_chunked)
        for name, is_chunked in ways.items()
    }
    positions = settings.side**2
    numbers = (positions + settings.codebook_size) * settings.channels
    gradients = 4 * (numbers + settings.codebook_size) / 2**30
    beyond = {name: value - gradients for name, value in memory.items()}
    flops = 6 * positions * settings.channels * settings.codebook_size
    print(
        "| cross-entropy | processor s a step | GB a step adds | without "
        "gradients | GFLOP/s |\n|---|---|---|---|---|"
    )
    for name in ways:
        rate = flops / seconds[name] / 1e9
        print(
            f"| {name} | {seconds[name]:.2f} | {memory[name]:.3f} | "
            f"{beyond[name]:.3f} | {rate:.0f} |"
        )
    shares = (
        found["in chunks"] / found["all at once"]
        for found in (seconds, memory, beyond)
    )
    print(
        "\nIn chunks it takes {:.2f} times the seconds and {:.2f} times the "
        "memory, {:.2f} times without gradients.".format(*shares)
    )


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
