"""What `layers/kernels.py` asks backends for, against Keras' own way.

Each pair runs in turns in one process, compiled where the backend compiles.
All but attention and the perceptron learn: seconds are those of a step with
gradients, of plain SGD. Seconds are the processor's, of the fastest round.

    KERAS_BACKEND=tensorflow python benchmarks/kernels.py
"""

import dataclasses
import time

import keras
import numpy as np
import tyro
from keras import ops
from measuring import seconds_in_turn

from gss_keras.layers.dense import Dense
from gss_keras.layers.normalization import BatchNormalization
from gss_keras.models.stage import Answer
from gss_keras.ops.kernels import attend, gelu, surprise


@dataclasses.dataclass(frozen=True)
class Settings:
    """How long to measure."""

    rounds: int = 20


class Learning(keras.Model):
    """Learns a map of features from what a function makes of it."""

    def __init__(self, function, shape):
        super().__init__()
        self.function = function
        self.features = self.add_weight(shape=shape, initializer="normal")
        self.built = True

    def call(self, x):
        return x

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        del x, y, y_pred, sample_weight, training
        found = self.function(ops.convert_to_tensor(self.features))
        return ops.mean(found**2)


def step_of(function, shape):
    """Return a function that takes one training step."""
    model = Learning(function, shape)
    model.compile(keras.optimizers.SGD(1e-3))
    nothing = np.zeros((1, 1), "float32")
    return lambda: model.train_on_batch(nothing)


def answer_of(function, shape):
    """Return a function that computes one answer, without gradients."""
    features = np.random.default_rng(0).normal(size=shape).astype("float32")
    answer = Answer(keras.layers.Identity(), function)
    return lambda: answer.predict_on_batch(features)


def normalize(layer_class):
    """Return a batch norm that learns, as a function."""
    layer = layer_class()
    layer.build((None, 48, 64, 256))
    return lambda features: layer(features, training=True)


def perceptron(layer_class, activation):
    """Return two dense layers, as a function."""
    expand, reduce = layer_class(512, activation), layer_class(256)
    expand.build((None, None, 256))
    reduce.build((None, None, 512))
    return lambda features: reduce(expand(features))


def lose(measure, classes=11, shape=(4, 192, 256)):
    """Return a loss of logits, as a function of these."""
    labels = np.random.default_rng(0).integers(0, classes, shape)
    labels = labels.astype("int32")
    return lambda logits: measure(labels, logits)


def keras_loss(labels, logits):
    """Return Keras' cross-entropy."""
    return keras.losses.sparse_categorical_crossentropy(
        labels, logits, from_logits=True
    )


def keras_gelu(features):
    """Return Keras' exact GELU."""
    return keras.activations.gelu(features, approximate=False)


def windows(mix):
    """Return a function that attends within windows of 7 x 7 positions."""
    bias = np.random.default_rng(0).normal(size=(4, 49, 49))
    bias = ops.convert_to_tensor(bias.astype("float32"))
    return lambda maps: mix(*ops.unstack(maps, 3, axis=1), bias)


def keras_attention(query, key, value, bias):
    """Attend with products and a softmax, one after the other."""
    scores = ops.matmul(query * 32**-0.5, ops.swapaxes(key, -2, -1))
    return ops.matmul(ops.softmax(scores + bias), value)


WORKS = {
    "batch norm that learns, 8 x 48 x 64 x 256": (
        step_of, (8, 48, 64, 256),
        normalize(BatchNormalization),
        normalize(keras.layers.BatchNormalization),
    ),
    "cross-entropy of 11 classes, 4 x 192 x 256": (
        step_of, (4, 192, 256, 11), lose(surprise), lose(keras_loss),
    ),
    "cross-entropy of 512 tokens, 4 x 48 x 64": (
        step_of, (4, 48, 64, 512),
        lose(surprise, 512, (4, 48, 64)), lose(keras_loss, 512, (4, 48, 64)),
    ),
    "perceptron 256-512-256, 10 800 positions": (
        answer_of, (1, 10_800, 256),
        perceptron(Dense, gelu),
        perceptron(keras.layers.Dense, keras_gelu),
    ),
    "attention in 252 windows of 49, 4 heads of 32": (
        answer_of, (252, 3, 4, 49, 32),
        windows(attend), windows(keras_attention),
    ),
}  # fmt: skip


def main(settings):
    """Print a row for each work."""
    print("| work | Keras, ms | here, ms | times faster |\n|---|---|---|---|")
    for name, (start, shape, ours, theirs) in WORKS.items():
        pair = {"ours": start(ours, shape), "Keras": start(theirs, shape)}
        spent = seconds_in_turn(pair, settings.rounds, time.process_time)
        times = spent["Keras"] / spent["ours"]
        print(
            f"| {name} | {1e3 * spent['Keras']:.1f} | "
            f"{1e3 * spent['ours']:.1f} | {times:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
