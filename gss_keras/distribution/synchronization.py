"""Synchronize replicas and processes before training."""

import keras
import numpy as np
from keras import ops

from gss_keras.distribution import backend
from gss_keras.distribution.gradients import average_gradients
from gss_keras.ops.private import flatten_layers, replace_moments


def synchronize_devices(model):
    """Synchronize weights, batch norms and gradients before training.

    `fit` of every stage calls it. Batch norms compute their statistics over
    the batches of all devices together, as in the official release, and as
    JAX does by itself. With PyTorch, the first process broadcasts weights and
    optimizer state to all others, each process uses different random numbers
    for dropout, and gradients are averaged.

    Args:
        model: A compiled model with a built optimizer.

    Raises:
        ValueError: If the optimizer accumulates gradients on several devices
            of TensorFlow.
    """
    strategy = getattr(model, "distribute_strategy", None)
    tf_replicas = strategy.num_replicas_in_sync if strategy else 1
    index, replicas = backend.replica()
    if max(tf_replicas, replicas) == 1:
        return
    steps = getattr(model.optimizer, "gradient_accumulation_steps", None)
    if tf_replicas > 1 and steps:
        raise ValueError(
            "`gradient_accumulation_steps` must be None on several devices "
            "of TensorFlow, where Keras' optimizers cannot accumulate. Use "
            "the backends JAX or PyTorch, or smaller batches. Received: "
            f"gradient_accumulation_steps={steps}"
        )
    for layer in flatten_layers(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            replace_moments(layer, _synchronized_moments(layer.axis))
    if replicas == 1 or keras.backend.backend() != "torch":
        return
    skipped = {id(variable) for variable in model.metrics_variables}
    variables = [v for v in model.variables if id(v) not in skipped]
    if model.optimizer:
        variables += model.optimizer.variables
        average_gradients(model.optimizer)
    backend.broadcast_from_first(variables)
    for variable in variables:
        if variable.path.endswith("seed_generator_state"):
            _reseed(variable, index)


def _synchronized_moments(axis):
    """Return a function that computes moments over all replicas."""

    def moments(own_moments, inputs, mask):
        _, replicas = backend.replica()
        if replicas == 1 or mask is not None:
            return own_moments(inputs, mask)
        channels = axis % len(inputs.shape)
        axes = [i for i in range(len(inputs.shape)) if i != channels]
        count = ops.sum(ops.ones_like(inputs), axis=axes)
        sums = ops.sum(inputs, axis=axes), ops.sum(inputs**2, axis=axes), count
        sums = backend.all_reduce_sum(ops.stack(sums))
        means = ops.unstack(sums / ops.maximum(sums[2], 1.0), 3)
        mean, mean_of_squares, _ = means
        return mean, ops.maximum(mean_of_squares - mean**2, 0.0)

    return moments


def _reseed(state, index):
    """Give each process a different RNG state, derived from the first's."""
    seed, counter = ops.convert_to_numpy(state.value).astype("uint64")
    seed = (seed + index * 0x9E3779B1) % 2**32
    state.assign(np.asarray([seed, counter], "uint32"))
