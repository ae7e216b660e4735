"""Train one model on several devices, with the engine that a backend has.

JAX and TensorFlow run one process that splits every batch over the devices;
with PyTorch, `torchrun` starts a process for each and every process reads its
own share of the batch. A training script looks the same for all:

    distribution.data_parallel()              # before a model is built
    batches = data.batches(..., shard=distribution.shard())
    prior.fit(batches, shuffle=False)
    if distribution.is_chief():
        prior.save_to_preset(folder)

The losses and gradients are those of the whole batch, exactly: averages are
over what all devices count together, and so are the statistics of batch norm.
"""

from gss_keras.distribution.averages import (
    shared_evaluation,
    shared_mean,
    split_loss,
)
from gss_keras.distribution.devices import (
    data_parallel,
    is_chief,
    model_parallel,
    shard,
    wait_for_all,
)
from gss_keras.distribution.filling import fill_up
from gss_keras.distribution.gradients import average_gradients
from gss_keras.distribution.start import start_together

__all__ = [
    "average_gradients",
    "data_parallel",
    "fill_up",
    "is_chief",
    "model_parallel",
    "shard",
    "shared_evaluation",
    "shared_mean",
    "split_loss",
    "start_together",
    "wait_for_all",
]
