"""Which operations the time goes to, by the backends' own profilers.

Goal: less than 15 % outside the backend's own products and convolutions. All
else is listed by operation, those that take most first. The small model is
the preset `camvid`, the large one GSS-FF with ResNet-101 and a tokenizer of
DALL-E's sizes, of random weights.

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
from gss_keras.models.stage import Answer
from gss_keras.synthetic import streets

# Names of what multiplies, on either backend; none of them has other work,
# but for a softmax between two products of one kernel.
_KERNELS = re.compile(
    r"conv|^dot|ynn|mm$|mm_|matmul|linear|einsum|attention", re.IGNORECASE
)
_PYTHON = "Python between operations"
# What only holds other operations.
_HOLDING = {
    "While", "StatelessWhile", "If", "PartitionedCall",
    "StatefulPartitionedCall", "while", "conditional", "call",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to profile."""

    size: tuple[int, int] = (360, 480)
    """Height and width of the photo to predict."""
    crop: tuple[int, int] = (192, 256)
    """Height and width of the crops of a training step, as in the recipe."""
    batch: int = 4
    """Number of these crops."""
    large_size: tuple[int, int] = (256, 256)
    """Of the photo that the large model predicts, and of its step's crop."""
    painted: int = 128
    """Side in pixels of what a decoder of DALL-E's sizes paints."""
    shown: int = 6
    """How many operations to name."""
    rounds: int = 5
    """How often to look; of each operation's seconds, the fewest count."""
    large_rounds: int = 1
    """The same for the large model, whose calls take minutes."""
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
    answer = Answer(tokenizer, tokenizer.decode)
    return lambda: answer.predict_on_batch(tokens)


def works(settings):
    """Return what makes a function of each kind of work."""
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
    """Return the seconds of each operation by its name."""
    from torch import profiler

    with profiler.profile(activities=[profiler.ProfilerActivity.CPU]) as seen:
        with profiler.record_function(_PYTHON):
            function()
    return {
        event.key: event.self_cpu_time_total / 1e6
        for event in seen.key_averages()
    }


def seconds_on_tensorflow(function):
    """Do the same, with what TensorFlow's profiler writes down."""
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
                # Operations of a graph are called "place:Operation"; some
                # only hold others.
                kind = names[event.metadata_id].split(":")
                is_operation = len(kind) == 2 and kind[1].isidentifier()
                if is_operation and kind[1] not in _HOLDING:
                    seconds[kind[1]] += event.duration_ps / 1e12
    return seconds


def seconds_on_jax(function):
    """Do the same, with the fusions of operations that XLA has made.

    On a CPU, those called "ynn" hold products and convolutions and what is
    added to them. Depthwise convolutions are this library's own there, see
    `layers/depthwise.py`, and do not count as kernels.
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
        # What XLA's own threads do has names in another style.
        if re.fullmatch("[a-z_]+", name) and name not in _HOLDING:
            seconds[name] += event.duration_ns / 1e9
    return seconds


def main(settings):
    """Print a row for each kind of work."""
    measure = {
        "torch": seconds_on_torch,
        "tensorflow": seconds_on_tensorflow,
        "jax": seconds_on_jax,
    }[keras.backend.backend()]
    print(
        "| work | seconds | outside kernels, % | of these, most |\n"
        "|---|---|---|---|"
    )
    for name in settings.works:
        function = works(settings)[name]()
        function()  # starts up
        is_large = name.startswith("large")
        count = settings.large_rounds if is_large else settings.rounds
        rounds = [measure(function) for _ in range(count)]
        seconds = {
            name: min(seconds.get(name, 0.0) for seconds in rounds)
            for name in rounds[0]
        }
        total = sum(seconds.values())
        others = {k: s for k, s in seconds.items() if not _KERNELS.search(k)}
        most = sorted(others, key=others.get, reverse=True)[: settings.shown]
        listed = ", ".join(f"{k} {100 * others[k] / total:.1f}" for k in most)
        share = 100 * sum(others.values()) / total
        print(f"| {name} | {total:.2f} | {share:.1f} | {listed} |", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
