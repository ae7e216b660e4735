"""Train tiny models on one or several devices, to compare the results.

`test_distribution.py` calls these functions for one device and runs this
script for two, with the name of a function and its arguments in JSON.
"""

import json
import os
import sys

import keras
import numpy as np
import tiny

import gss_keras
from gss_keras import data, distribution


class Photos:
    """In-memory source of photos whose first pixel is their index."""

    def __init__(self, count):
        self.photos, self.masks = tiny.tiny_data(count, height=33, width=32)
        self.photos[:, 0, 0, 0] = np.arange(count)
        # Different numbers of labeled pixels, so that averaging the mean losses
        # of the devices would be wrong.
        for index in range(count):
            self.masks[index, : index % 4 * 8] = 255

    def __len__(self):
        return len(self.photos)

    def __getitem__(self, index):
        photo, mask = self.photos[index], self.masks[index]
        return {"photo": photo, "mask": mask, "name": str(index)}


class Recorded(data.pipeline.Batches):
    """Batches that record the epoch and index of each labeled photo read."""

    seen = ()

    def __getitem__(self, index):
        photos, masks = super().__getitem__(index)
        is_labeled = (masks != 255).any(axis=(1, 2))
        indices = photos[is_labeled][:, 0, 0, 0].tolist()
        self.seen = [*self.seen, *([self.epoch, index] for index in indices)]
        return photos, masks


def use_devices(devices, model_devices=None):
    """Distribute over CPU devices; on TensorFlow, create logical ones."""
    if keras.backend.backend() == "tensorflow" and devices > 1:
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * devices
        )
    if model_devices:
        return distribution.model_parallel(model_devices)
    return distribution.data_parallel(devices)


def rank():
    return int(os.environ.get("RANK", 0))


def train_prior(
    output, devices=1, count=8, weights=None, model_devices=None, epochs=2
):
    """Train a prior; save its history, weights and the photos it has read."""
    use_devices(devices, model_devices)
    # Different initial weights on each process, which `fit` must synchronize.
    keras.utils.set_random_seed(rank())
    # The dropout rate is negligible, but the layer has an RNG state.
    prior = tiny.tiny_prior(dropout=1e-12)
    if weights and rank() == 0:
        prior.load_weights(weights)
    elif not weights:
        prior.save_weights(f"{output}.weights.h5")
    prior.compile(keras.optimizers.SGD(0.1))
    train = data.batches(
        Photos(count), 4, shuffle=True, shard=distribution.shard()
    )
    train.__class__ = Recorded
    history = prior.fit(train, epochs=epochs, shuffle=False, verbose=0).history
    report = {
        "history": history,
        "seen": train.seen,
        "is_chief": distribution.is_chief(),
        "seed": keras.ops.convert_to_numpy(
            prior.dropout.seed_generator.state.value
        ).tolist(),
        "sharded": [
            variable.path
            for variable in prior.trainable_variables
            if model_devices and not variable.value.is_fully_replicated
        ],
    }
    arrays = {
        str(index): keras.ops.convert_to_numpy(variable.value)
        for index, variable in enumerate(prior.weights)
    }
    write(output, report, arrays)


def write(output, report, arrays):
    with open(f"{output}.{rank()}.json", "w") as file:
        json.dump(report, file, default=float)
    np.savez(f"{output}.{rank()}.npz", **arrays)


def score_prior(output, devices=1, weights=None):
    """Evaluate an odd number of photos with each of the evaluation methods."""
    use_devices(devices)
    prior = tiny.tiny_prior()
    if weights:
        prior.load_weights(weights)
    else:
        # Unlike the initial kernel, a random one predicts diverse masks.
        kernel = prior.vocabulary.kernel
        kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
        prior.save_weights(f"{output}.weights.h5")
    prior.compile()
    val = data.batches(Photos(5), 2, shard=distribution.shard())
    segmenter = gss_keras.GenerativeSegmenter(prior)
    segmenter.compile()
    scores = {
        "prior": prior.evaluate(val, verbose=0, return_dict=True),
        "whole": segmenter.evaluate(val, verbose=0, return_dict=True),
        "windows": segmenter.evaluate(
            val, verbose=0, return_dict=True, window=(32, 16)
        ),
    }
    scores["confusion"] = segmenter.scores.confusion().tolist()
    source = Photos(5)
    # On PyTorch, one process can evaluate arrays while the others wait.
    if distribution.is_chief():
        scores["arrays"] = segmenter.evaluate(
            source.photos, source.masks, verbose=0, return_dict=True
        )
    distribution.wait_for_all()
    masks = segmenter.predict(source.photos, batch_size=2)
    write(output, scores, {"masks": masks})


def train_mlps(output, devices=1):
    """Train with optimizers that use all features of Keras' optimizers."""
    use_devices(devices)
    for name in ("adamw", "scaled"):
        optimizer = keras.optimizers.AdamW(
            keras.optimizers.schedules.PolynomialDecay(0.1, 8),
            weight_decay=0.1, clipnorm=0.05, use_ema=True, ema_momentum=0.5,
            gradient_accumulation_steps=2, name="adamw",
        )  # fmt: skip
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        if name == "scaled":
            optimizer = keras.optimizers.LossScaleOptimizer(
                optimizer, 4.0, name="scaled"
            )
        train_mlp(optimizer, devices).save(f"{output}.{name}.{rank()}.keras")


def train_mlp(optimizer, devices):
    # Different initial weights on each process; those of the first count.
    keras.utils.set_random_seed(rank())
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(5, "tanh", name="hidden"),
            keras.layers.BatchNormalization(name="norm"),
        ],
        name="mlp",
    )
    model.compile(optimizer, "mse")
    optimizer.build(model.trainable_variables)
    distribution.synchronize_devices(model)
    x, y = np.random.default_rng(1).normal(size=(2, 8, 5))
    shard = slice(rank() * 8 // devices, (rank() + 1) * 8 // devices)
    for _ in range(7):
        model.train_on_batch(x[shard, :3], y[shard])
    return model


if __name__ == "__main__":
    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
