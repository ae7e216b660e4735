"""Train a tiny prior on some devices; the tests compare what comes out.

Started by `test_distribution.py`, with JSON on its command line: `devices`,
`batch_size`, `count` of photos, `output` and what else `main` takes.
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
        # Photos that count differently many pixels tell the mean of means.
        for index in range(count):
            self.masks[index, : index % 4 * 8] = 255

    def __len__(self):
        return len(self.photos)

    def __getitem__(self, index):
        return {
            "photo": self.photos[index],
            "mask": self.masks[index],
            "name": str(index),
        }


class Noted(data.pipeline.Batches):
    """Batches that note which photos were read and count."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.seen = []

    def __getitem__(self, index):
        photos, masks = super().__getitem__(index)
        for photo, mask in zip(photos, masks, strict=True):
            if (mask != 255).any():
                self.seen.append((self.epoch, int(photo[0, 0, 0])))
        return photos, masks


def show_devices(count):
    """Show as many CPUs as devices, where one process has all of them."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )


def make_optimizer(name):
    if name == "sgd":
        return keras.optimizers.SGD(0.1)
    schedule = keras.optimizers.schedules.PolynomialDecay(1e-2, 8)
    optimizer = keras.optimizers.AdamW(
        schedule, weight_decay=0.1, clipnorm=0.5, use_ema=True,
        gradient_accumulation_steps=2,
    )  # fmt: skip
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    if name == "scaled":
        return keras.optimizers.LossScaleOptimizer(optimizer, 4.0)
    return optimizer


def main(
    devices, batch_size, count, output, weights=None, optimizer="sgd", epochs=2,
    model_devices=0,
):  # fmt: skip
    show_devices(max(devices, 1))
    if model_devices:
        parts = distribution.model_parallel(model_devices)
        assert parts == devices // model_devices
    else:
        assert distribution.data_parallel() == devices
    index = int(os.environ.get("RANK", 0))
    # Different ranks start from different weights, until `fit` begins.
    keras.utils.set_random_seed(index)
    prior = tiny.tiny_prior(dropout=0.0)
    if weights and index == 0:
        prior.load_weights(weights)
    if weights is None:
        prior.save_weights(output + ".start.weights.h5")
    prior.compile(make_optimizer(optimizer))

    source = Photos(count)
    train = data.batches(
        source, batch_size, shuffle=True, shard=distribution.shard()
    )
    train.__class__ = Noted
    train.seen = []
    history = prior.fit(train, epochs=epochs, shuffle=False, verbose=0).history

    variables = {
        v.path: keras.ops.convert_to_numpy(v.value) for v in prior.weights
    }
    # Unlike what little was learned, this gives all kinds of masks.
    kernel = prior.vocabulary.kernel
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
    held_out = data.batches(Photos(5), 2, shard=distribution.shard())
    scores = prior.evaluate(held_out, verbose=0, return_dict=True)
    segmenter = gss_keras.GenerativeSegmenter(prior)
    segmenter.compile()
    windows = segmenter.evaluate(
        held_out, verbose=0, return_dict=True, window=(32, 16)
    )
    confusion = segmenter.scores.confusion().tolist()
    whole = segmenter.evaluate(held_out, verbose=0, return_dict=True)
    arrays = segmenter.evaluate(
        Photos(5).photos, Photos(5).masks, verbose=0, return_dict=True
    )
    masks = segmenter.predict(Photos(5).photos, batch_size=2)
    np.savez(f"{output}.{index}.npz", masks=masks, **variables)
    report = {
        "loss": history["loss"],
        "logs": history,
        "seen": train.seen,
        "scores": scores,
        "windows": windows,
        "confusion": confusion,
        "whole": whole,
        "arrays": arrays,
        "is_chief": distribution.is_chief(),
        "optimizer": keras.saving.serialize_keras_object(prior.optimizer),
        "layouts": {
            v.path: str(getattr(v.value, "sharding", ""))
            for v in prior.trainable_variables
        },
    }
    with open(f"{output}.{index}.json", "w") as file:
        json.dump(report, file, default=float)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
