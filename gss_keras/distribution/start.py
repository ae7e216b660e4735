"""Let the devices begin a training alike."""

import functools

import keras
import numpy as np
from keras import ops

from gss_keras.distribution import backend
from gss_keras.distribution.gradients import average_gradients


def start_together(model):
    """Let the devices begin the training of a model alike.

    `fit` of the three stages calls it. Batch norms take their statistics from
    the batches of all devices together, as the official release does, and as
    JAX does by itself. With PyTorch, all processes take over the first one's
    weights and optimizer, but draw other random numbers for dropout, and
    average their gradients.

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
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer._moments = functools.partial(_shared_moments, layer)
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
            _draw_apart(variable, index)


def _shared_moments(layer, inputs, mask):
    """Take a batch norm's mean and variance over the parts of a batch."""
    _, parts = backend.part()
    if parts == 1 or mask is not None:
        return type(layer)._moments(layer, inputs, mask)
    axes = layer._reduction_axes
    count = ops.sum(ops.ones_like(inputs), axis=axes)
    sums = [ops.sum(inputs, axis=axes), ops.sum(inputs**2, axis=axes), count]
    sums = backend.sum_over_parts(ops.stack(sums))
    mean, mean_of_squares, _ = ops.unstack(sums / ops.maximum(sums[2], 1.0), 3)
    return mean, ops.maximum(mean_of_squares - mean**2, 0.0)


def _draw_apart(state, index):
    """Move a process's random state far away from those of the others."""
    seed, counter = ops.convert_to_numpy(state.value).astype("uint64")
    seed = (seed + index * 0x9E3779B1) % 2**32
    state.assign(np.asarray([seed, counter], "uint32"))
