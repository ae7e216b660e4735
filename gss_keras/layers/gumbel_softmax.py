"""Straight-through Gumbel-softmax sampling."""

import keras
from keras import ops

from gss_keras.ops.backend import argmax


@keras.saving.register_keras_serializable(package="gss_keras")
class HardGumbelSoftmax(keras.layers.Layer):
    """Sample one-hot tokens with the straight-through Gumbel-softmax.

    The forward pass returns the one-hot argmax of logits plus Gumbel noise,
    so tokens are sampled with their softmax probabilities. The backward pass
    uses the gradient of `softmax((logits + noise) / temperature)`, since the
    argmax has none. Outside of training, the most probable token is returned,
    without noise.

    Args:
        temperature: Positive float, or a
            `keras.optimizers.schedules.LearningRateSchedule` over the training
            steps. A high temperature spreads the gradient over many tokens, a
            low one concentrates it on the sampled token.
        noise: Factor of the Gumbel noise. With 0, the most probable token is
            returned in training, too: the straight-through softmax.
        seed: Integer, or None.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        logits: Float `(..., codebook_size)`.
        training: Whether to sample; each such call is a step of the
            temperature's schedule.

    Returns:
        Float one-hot tensor of the same shape and dtype.

    Raises:
        ValueError: If `temperature` is not above 0 or `noise` is negative.

    Reference:
        Jang et al., "Categorical Reparameterization with Gumbel-Softmax",
        2017, section 2.2.

    Example:
        >>> import numpy as np
        >>> choose = HardGumbelSoftmax()
        >>> keras.ops.convert_to_numpy(choose(np.array([[0.0, 9.0, 1.0]])))
        array([[0., 1., 0.]], dtype=float32)
    """

    def __init__(self, temperature=1.0, noise=1.0, seed=None, **kwargs):
        if isinstance(temperature, dict):
            temperature = keras.saving.deserialize_keras_object(temperature)
        is_schedule = callable(temperature)
        if not is_schedule and not temperature > 0:
            raise ValueError(
                "`temperature` must be above 0, or a schedule of "
                "`keras.optimizers.schedules`. "
                f"Received: temperature={temperature!r}"
            )
        if not noise >= 0:
            raise ValueError(
                f"`noise` must not be negative. Received: noise={noise!r}"
            )
        super().__init__(**kwargs)
        self.temperature = temperature
        self.noise = noise
        self.seed = seed
        self._draws = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        del input_shape
        # A layer's call cannot access the optimizer's `iterations`.
        self.steps = self.add_weight(
            (), "zeros", dtype="int32", trainable=False, name="steps"
        )

    def current_temperature(self):
        """Return the temperature of the next step, a float32 scalar."""
        if callable(self.temperature):
            return ops.cast(self.temperature(self.steps), "float32")
        return ops.convert_to_tensor(self.temperature, "float32")

    def call(self, logits, training=None):
        size = logits.shape[-1]
        if not training:
            return ops.one_hot(argmax(logits), size, dtype=logits.dtype)
        if self.noise:
            uniform = keras.random.uniform(
                ops.shape(logits), 1e-7, 1.0, seed=self._draws
            )
            gumbel = -ops.log(-ops.log(uniform))
            logits = logits + self.noise * ops.cast(gumbel, logits.dtype)
        temperature = ops.cast(self.current_temperature(), logits.dtype)
        soft = ops.softmax(logits / temperature)
        hard = ops.one_hot(argmax(logits), size, dtype=logits.dtype)
        self.steps.assign_add(1)
        return hard + soft - ops.stop_gradient(soft)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "temperature": temperature_as_config(self.temperature),
            "noise": self.noise,
            "seed": self.seed,
        }


def temperature_as_config(temperature):
    """Convert a temperature to its entry in a config.

    Args:
        temperature: A float, or a schedule, serialized or not.

    Returns:
        The float, or the serialized schedule.
    """
    if callable(temperature):
        return keras.saving.serialize_keras_object(temperature)
    return temperature
