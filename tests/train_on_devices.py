"""Train tiny models on some devices; the tests compare what comes out.

`test_distribution.py` calls this for one device and starts it as a script for
two, with the name of a function and its arguments in JSON.
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
    """A source of photos that are known by their first pixel."""

    def __init__(self, count):
        self.photos, self.masks = tiny.tiny_data(count, height=33, width=32)
        self.photos[:, 0, 0, 0] = np.arange(count)
        # A mean of means is wrong where photos count differently much.
        for index in range(count):
            self.masks[index, : index % 4 * 8] = 255

    def __len__(self):
        return len(self.photos)

    def __getitem__(self, index):
        photo, mask = self.photos[index], self.masks[index]
        return {"photo": photo, "mask": mask, "name": str(index)}


class Noted(data.pipeline.Batches):
    """Batches that note which photos were read and count, and in which pass."""

    seen = ()

    def __getitem__(self, index):
        photos, masks = super().__getitem__(index)
        counted = (masks != 255).any(axis=(1, 2))
        numbers = photos[counted][:, 0, 0, 0].tolist()
        self.seen = [*self.seen, *([self.epoch, number] for number in numbers)]
        return photos, masks


def use_devices(devices, model_devices=None):
    """Show so many CPUs where one process has them all, and use them."""
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
    """Train a prior and write down all that was seen."""
    use_devices(devices, model_devices)
    # Without `fit`, the processes would have weights of their own.
    keras.utils.set_random_seed(rank())
    # Dropout that drops nothing, with a random state.
    prior = tiny.tiny_prior(dropout=1e-12)
    if weights and rank() == 0:
        prior.load_weights(weights)
    elif not weights:
        prior.save_weights(f"{output}.weights.h5")
    prior.compile(keras.optimizers.SGD(0.1))
    train = data.batches(
        Photos(count), 4, shuffle=True, shard=distribution.shard()
    )
    train.__class__ = Noted
    history = prior.fit(train, epochs=epochs, shuffle=False, verbose=0).history
    report = {
        "history": history,
        "seen": train.seen,
        "is_chief": distribution.is_chief(),
        "seed": keras.ops.convert_to_numpy(
            prior.dropout.seed_generator.state.value
        ).tolist(),
        "cut": [
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
    """Evaluate an odd number of photos in every way there is."""
    use_devices(devices)
    prior = tiny.tiny_prior()
    if weights:
        prior.load_weights(weights)
    else:
        # Other than the initial one, this predicts all kinds of masks.
        kernel = prior.vocabulary.kernel
        kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
        prior.save_weights(f"{output}.weights.h5")
    prior.compile()
    held_out = data.batches(Photos(5), 2, shard=distribution.shard())
    segmenter = gss_keras.GenerativeSegmenter(prior)
    segmenter.compile()
    scores = {
        "prior": prior.evaluate(held_out, verbose=0, return_dict=True),
        "whole": segmenter.evaluate(held_out, verbose=0, return_dict=True),
        "windows": segmenter.evaluate(
            held_out, verbose=0, return_dict=True, window=(32, 16)
        ),
    }
    scores["confusion"] = segmenter.scores.confusion().tolist()
    source = Photos(5)
    # One of PyTorch's processes can do this while the others wait for it.
    if distribution.is_chief():
        scores["arrays"] = segmenter.evaluate(
            source.photos, source.masks, verbose=0, return_dict=True
        )
    distribution.wait_for_all()
    masks = segmenter.predict(source.photos, batch_size=2)
    write(output, scores, {"masks": masks})


def train_perceptrons(output, devices=1):
    """Train with optimizers that do all that Keras' optimizers can do."""
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
        train_perceptron(optimizer, devices).save(
            f"{output}.{name}.{rank()}.keras"
        )


def train_perceptron(optimizer, devices):
    # Only the first process has the right weights to begin with.
    keras.utils.set_random_seed(rank())
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(5, "tanh", name="hidden"),
            keras.layers.BatchNormalization(name="norm"),
        ],
        name="perceptron",
    )
    model.compile(optimizer, "mse")
    optimizer.build(model.trainable_variables)
    distribution.start_together(model)
    x, y = np.random.default_rng(1).normal(size=(2, 8, 5))
    share = slice(rank() * 8 // devices, (rank() + 1) * 8 // devices)
    for _ in range(7):
        model.train_on_batch(x[share, :3], y[share])
    return model


if __name__ == "__main__":
    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
