"""Synchronize replicas and processes before a training."""

import keras
import numpy as np
from keras import ops

from gss_keras.distribution import backend
from gss_keras.distribution.gradients import average_gradients
from gss_keras.ops.private import flatten_layers, replace_moments


def start_together(model):
    """Synchronize all devices before the training of a model.

    `fit` of every stage calls it. Batch normalizations compute statistics
    over the batches of all devices together, as in the official release, and
    as JAX does by itself. With PyTorch, all processes copy weights and
    optimizer state of the first one, use different random numbers for
    dropout, and average their gradients.

    Args:
        model: A compiled model with a built optimizer.

    Raises:
        ValueError: If the optimizer accumulates gradients on several devices
            of TensorFlow.
    """
    strategy = getattr(model, "distribute_strategy", None)
    replicas = strategy.num_replicas_in_sync if strategy else 1
    index, parts = backend.part()
    if max(replicas, parts) == 1:
        return
    steps = getattr(model.optimizer, "gradient_accumulation_steps", None)
    if replicas > 1 and steps:
        raise ValueError(
            "`gradient_accumulation_steps` must be None on several devices "
            "of TensorFlow, where Keras' optimizers cannot accumulate. Use "
            "the backends JAX or PyTorch, or smaller batches. Received: "
            f"gradient_accumulation_steps={steps}"
        )
    for layer in flatten_layers(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            replace_moments(layer, _shared_moments_along(layer.axis))
    if parts == 1 or keras.backend.backend() != "torch":
        return
    skipped = {id(variable) for variable in model.metrics_variables}
    variables = [v for v in model.variables if id(v) not in skipped]
    if model.optimizer:
        variables += model.optimizer.variables
        average_gradients(model.optimizer)
    backend.copy_from_first_part(variables)
    for variable in variables:
        if variable.path.endswith("seed_generator_state"):
            _decorrelate(variable, index)


def _shared_moments_along(axis):
    """Return a function that computes moments over all parts of a batch."""

    def shared_moments(own_moments, inputs, mask):
        _, parts = backend.part()
        if parts == 1 or mask is not None:
            return own_moments(inputs, mask)
        channels = axis % len(inputs.shape)
        axes = [i for i in range(len(inputs.shape)) if i != channels]
        count = ops.sum(ops.ones_like(inputs), axis=axes)
        sums = ops.sum(inputs, axis=axes), ops.sum(inputs**2, axis=axes), count
        sums = backend.sum_over_parts(ops.stack(sums))
        means = ops.unstack(sums / ops.maximum(sums[2], 1.0), 3)
        mean, mean_of_squares, _ = means
        return mean, ops.maximum(mean_of_squares - mean**2, 0.0)

    return shared_moments


def _decorrelate(state, index):
    """Give a process a random state far away from those of the others."""
    seed, counter = ops.convert_to_numpy(state.value).astype("uint64")
    seed = (seed + index * 0x9E3779B1) % 2**32
    state.assign(np.asarray([seed, counter], "uint32"))
