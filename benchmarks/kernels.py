"""Compare the fused kernels of `ops/kernels.py` with Keras' own operations.

Each pair runs in alternation in one process, compiled where the backend
compiles. Batch norm and cross-entropy are timed in a training step with SGD,
attention and the MLP without gradients. Times are CPU times of the fastest
round.

    KERAS_BACKEND=tensorflow python benchmarks/kernels.py
"""

import dataclasses
import time

import keras
import numpy as np
import tyro
from keras import ops
from measuring import fastest_seconds

from gss_keras.layers.dense import Dense
from gss_keras.layers.normalization import BatchNormalization
from gss_keras.models.inference import InferenceModel
from gss_keras.ops.kernels import attention, cross_entropy, gelu


@dataclasses.dataclass(frozen=True)
class Settings:
    """Command-line settings."""

    rounds: int = 20


class TrainableInput(keras.Model):
    """Model whose only weight is the input of a function to differentiate."""

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
        outputs = self.function(ops.convert_to_tensor(self.features))
        return ops.mean(outputs**2)


def step_of(function, shape):
    """Return a callable that runs one training step."""
    model = TrainableInput(function, shape)
    model.compile(keras.optimizers.SGD(1e-3))
    unused = np.zeros((1, 1), "float32")
    return lambda: model.train_on_batch(unused)


def inference_of(function, shape):
    """Return a callable that runs the function without gradients."""
    features = np.random.default_rng(0).normal(size=shape).astype("float32")
    model = InferenceModel(keras.layers.Identity(), function)
    return lambda: model.predict_on_batch(features)


def normalize(layer_class):
    """Return a batch norm in training mode as a function of features."""
    layer = layer_class()
    layer.build((None, 48, 64, 256))
    return lambda features: layer(features, training=True)


def mlp(layer_class, activation):
    """Return an MLP of two dense layers as a function of features."""
    expand, reduce = layer_class(512, activation), layer_class(256)
    expand.build((None, None, 256))
    reduce.build((None, None, 512))
    return lambda features: reduce(expand(features))


def loss_on(cross_entropy, classes=11, shape=(4, 192, 256)):
    """Return the cross-entropy with random labels as a function of logits."""
    labels = np.random.default_rng(0).integers(0, classes, shape)
    labels = labels.astype("int32")
    return lambda logits: cross_entropy(labels, logits)


def keras_loss(labels, logits):
    """Compute the cross-entropy per position with Keras."""
    return keras.losses.sparse_categorical_crossentropy(
        labels, logits, from_logits=True
    )


def keras_gelu(features):
    """Apply Keras' exact GELU activation."""
    return keras.activations.gelu(features, approximate=False)


def windows(attention):
    """Return attention in 7 x 7 windows as a function of query, key, value."""
    bias = np.random.default_rng(0).normal(size=(4, 49, 49))
    bias = ops.convert_to_tensor(bias.astype("float32"))
    return lambda maps: attention(*ops.unstack(maps, 3, axis=1), bias)


def keras_attention(query, key, value, bias):
    """Compute attention from two matrix products and a softmax."""
    scores = ops.matmul(query * 32**-0.5, ops.swapaxes(key, -2, -1))
    return ops.matmul(ops.softmax(scores + bias), value)


CASES = {
    "training batch norm, 8 x 48 x 64 x 256": (
        step_of, (8, 48, 64, 256),
        normalize(BatchNormalization),
        normalize(keras.layers.BatchNormalization),
    ),
    "cross-entropy of 11 classes, 4 x 192 x 256": (
        step_of, (4, 192, 256, 11), loss_on(cross_entropy), loss_on(keras_loss),
    ),
    "cross-entropy of 512 tokens, 4 x 48 x 64": (
        step_of, (4, 48, 64, 512),
        loss_on(cross_entropy, 512, (4, 48, 64)),
        loss_on(keras_loss, 512, (4, 48, 64)),
    ),
    "MLP 256-512-256, 10 800 positions": (
        inference_of, (1, 10_800, 256),
        mlp(Dense, gelu),
        mlp(keras.layers.Dense, keras_gelu),
    ),
    "attention in 252 windows of 49, 4 heads of 32": (
        inference_of, (252, 3, 4, 49, 32),
        windows(attention), windows(keras_attention),
    ),
}  # fmt: skip


def main(settings):
    """Print a row for each operation."""
    print("| operation | Keras, ms | ours, ms | speedup |\n|---|---|---|---|")
    for name, (prepare, shape, ours, theirs) in CASES.items():
        pair = {"ours": prepare(ours, shape), "Keras": prepare(theirs, shape)}
        seconds = fastest_seconds(pair, settings.rounds, time.process_time)
        speedup = seconds["Keras"] / seconds["ours"]
        print(
            f"| {name} | {1e3 * seconds['Keras']:.1f} | "
            f"{1e3 * seconds['ours']:.1f} | {speedup:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
