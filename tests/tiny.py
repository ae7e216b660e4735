"""Minimal models with all parts, and data for them."""

import keras
import numpy as np

import gss_keras


def tiny_tokenizer(**kwargs):
    sizes = {
        "codebook_size": 32,
        "hidden": 8,
        "groups": 3,
        "blocks": 1,
        "decoder_initial": 8,
    }
    return gss_keras.DiscreteVAE(**(sizes | kwargs))


def tiny_posterior(num_classes=5, **kwargs):
    palette = gss_keras.palettes.maximal_distance(num_classes)
    return gss_keras.LatentPosterior(palette, tiny_tokenizer(), **kwargs)


def tiny_backbone():
    photos = keras.Input((None, None, 3))
    x, maps = keras.layers.Rescaling(1 / 255)(photos), []
    for channels in (4, 4, 6, 8, 10):
        x = keras.layers.Conv2D(
            channels, 3, strides=2, padding="same", activation="relu"
        )(x)
        maps.append(x)
    return gss_keras.backbones.FeaturePyramid(keras.Model(photos, maps[1:]))


def tiny_prior(posterior=None, **kwargs):
    sizes = {
        "level_channels": 8,
        "channels": 16,
        "depth": 2,
        "heads": 2,
        "projection": 24,
    }
    return gss_keras.LatentPrior(
        tiny_backbone(),
        posterior or tiny_posterior(),
        **(sizes | kwargs),
    )


def tiny_data(count=4, height=32, width=48, num_classes=5):
    """Return random photos, and masks of two halves with an ignored corner."""
    generator = np.random.default_rng(0)
    photos = generator.integers(0, 256, (count, height, width, 3))
    masks = generator.integers(0, num_classes, (count, 1, 2))
    masks = masks.repeat(height, axis=1).repeat(width // 2, axis=2)
    masks[:, :6, :9] = 255
    return photos.astype("uint8"), masks.astype("int32")
