"""Data and model parallelism on every backend.

JAX and TensorFlow run one process that splits every batch over the devices.
With PyTorch, `torchrun` starts one process per device, and every process
reads its own shard of the batch. A training script is the same for all:

    distribution.data_parallel()              # before a model is built
    batches = data.batches(..., shard=distribution.shard())
    prior.fit(batches, shuffle=False)
    if distribution.is_chief():
        prior.save_to_preset(folder)

Losses and gradients are exactly those of the whole batch: means are over the
labeled pixels of all devices together, and batch norms are synchronized.
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
from gss_keras.distribution.gradients import average_gradients
from gss_keras.distribution.padding import pad_to_devices
from gss_keras.distribution.synchronization import synchronize_devices

__all__ = [
    "average_gradients",
    "data_parallel",
    "is_chief",
    "model_parallel",
    "pad_to_devices",
    "shard",
    "shared_evaluation",
    "shared_mean",
    "split_loss",
    "synchronize_devices",
    "wait_for_all",
]
