"""Profile which operations take the time, with the backends' own profilers.

The goal is less than 15 % outside of matrix products and convolutions. All
other operations are listed by their time, in descending order. The small model
is the preset `camvid`, the large one GSS-FF with ResNet-101 and a tokenizer of
DALL-E's sizes with random weights.

    KERAS_BACKEND=torch python benchmarks/where_time_goes.py
"""

import collections
import dataclasses
import pathlib
import re
import tempfile

import keras
import numpy as np
import segmenter_speed
import training_step
import tyro
from keras import ops

import gss_keras
from gss_keras.models.inference import InferenceModel
from gss_keras.synthetic import streets

# Names of matrix products and convolutions on all backends; the only other
# work in them is the softmax of fused attention.
_MATRIX_OPS = re.compile(
    r"conv|^dot|ynn|mm$|mm_|matmul|linear|einsum|attention", re.IGNORECASE
)
_PYTHON = "Python between operations"
# Operations that only contain other operations.
_CONTAINERS = {
    "While", "StatelessWhile", "If", "PartitionedCall",
    "StatefulPartitionedCall", "while", "conditional", "call",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Settings:
    """Command-line settings."""

    size: tuple[int, int] = (360, 480)
    """Height and width of the photo to predict."""
    crop: tuple[int, int] = (192, 256)
    """Height and width of the crops of a training step, as in the recipe."""
    batch: int = 4
    """Batch size of a training step."""
    large_size: tuple[int, int] = (256, 256)
    """Height and width of the large model's photo and training crop."""
    painted: int = 128
    """Side in pixels of the image decoded at DALL-E's sizes."""
    shown: int = 6
    """Number of operations to list."""
    rounds: int = 5
    """Number of profiled calls; the minimum time of each operation counts."""
    large_rounds: int = 1
    """Number of profiled calls of the large model, which take minutes."""
    works: tuple[str, ...] = (
        "small, predict",
        "small, training step",
        "large, predict",
        "large, training step",
        "DALL-E's decoder",
    )


def predict(preset, size):
    """Return a function that segments one photo."""
    segmenter = segmenter_speed.build(preset, "tokenizer's")
    photo = streets.Streets(1, 0, size)[0]["photo"]
    return lambda: segmenter.predict(photo)


def decode(side):
    """Return a function that decodes tokens, at DALL-E's sizes."""
    tokenizer = gss_keras.DiscreteVAE.from_preset("dalle", load_weights=False)
    tokens = np.zeros((1, *2 * [side // tokenizer.stride]), "int32")
    tokens = ops.convert_to_tensor(tokens)
    model = InferenceModel(tokenizer, tokenizer.decode)
    return lambda: model.predict_on_batch(tokens)


def works(settings):
    """Return a dict from the name of a workload to a builder of its call."""
    large = segmenter_speed.RESNET
    return {
        "small, predict": lambda: predict("camvid", settings.size),
        "small, training step": lambda: training_step.step_of(
            training_step.build("camvid"), settings.crop, settings.batch
        ),
        "large, predict": lambda: predict(large, settings.large_size),
        "large, training step": lambda: training_step.step_of(
            training_step.build(large), settings.large_size, 1
        ),
        "DALL-E's decoder": lambda: decode(settings.painted),
    }


def seconds_on_torch(function):
    """Profile a call on PyTorch; return seconds by operation."""
    from torch import profiler

    with profiler.profile(activities=[profiler.ProfilerActivity.CPU]) as run:
        with profiler.record_function(_PYTHON):
            function()
    return {
        event.key: event.self_cpu_time_total / 1e6
        for event in run.key_averages()
    }


def seconds_on_tensorflow(function):
    """Profile a call on TensorFlow; return seconds by operation."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    options = tf.profiler.experimental.ProfilerOptions(
        host_tracer_level=2, python_tracer_level=0, device_tracer_level=0
    )
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder, options)
        function()
        tf.profiler.experimental.stop()
        (path,) = pathlib.Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    seconds = collections.Counter()
    for plane in space.planes:
        names = {key: value.name for key, value in plane.event_metadata.items()}
        for line in plane.lines:
            for event in line.events:
                # Events of graph operations are named "name:Type".
                kind = names[event.metadata_id].split(":")
                is_operation = len(kind) == 2 and kind[1].isidentifier()
                if is_operation and kind[1] not in _CONTAINERS:
                    seconds[kind[1]] += event.duration_ps / 1e12
    return seconds


def seconds_on_jax(function):
    """Profile a call on JAX; return seconds by XLA fusion.

    On a CPU, fusions named "ynn" contain matrix products and convolutions with
    their biases. Depthwise convolutions are implemented with elementwise
    operations there, see `layers/depthwise.py`, and do not count as
    convolutions.
    """
    import jax

    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            function()
        (path,) = pathlib.Path(folder).rglob("*.xplane.pb")
        planes = jax.profiler.ProfileData.from_file(str(path)).planes
        events = [
            event
            for plane in planes
            for line in plane.lines
            if line.name != "python"
            for event in line.events
        ]
    seconds = collections.Counter()
    for event in events:
        name = event.name.split(".")[0]
        # Events of XLA's runtime threads have other names.
        if re.fullmatch("[a-z_]+", name) and name not in _CONTAINERS:
            seconds[name] += event.duration_ns / 1e9
    return seconds


def main(settings):
    """Print a row for each workload."""
    measure = {
        "torch": seconds_on_torch,
        "tensorflow": seconds_on_tensorflow,
        "jax": seconds_on_jax,
    }[keras.backend.backend()]
    print(
        "| workload | seconds | other operations, % | most expensive, % |\n"
        "|---|---|---|---|"
    )
    for name in settings.works:
        function = works(settings)[name]()
        function()  # warm-up
        is_large = name.startswith("large")
        count = settings.large_rounds if is_large else settings.rounds
        rounds = [measure(function) for _ in range(count)]
        seconds = {
            name: min(seconds.get(name, 0.0) for seconds in rounds)
            for name in rounds[0]
        }
        total = sum(seconds.values())
        others = {
            operation: elapsed
            for operation, elapsed in seconds.items()
            if not _MATRIX_OPS.search(operation)
        }
        slowest = sorted(others, key=others.get, reverse=True)
        listed = ", ".join(
            f"{operation} {100 * others[operation] / total:.1f}"
            for operation in slowest[: settings.shown]
        )
        percentage = 100 * sum(others.values()) / total
        print(
            f"| {name} | {total:.2f} | {percentage:.1f} | {listed} |",
            flush=True,
        )


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
