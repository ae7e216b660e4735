"""Measure time and memory of the published sizes on a GPU, by precision.

GSS-FF with ResNet-101 and a tokenizer of DALL-E's size, random weights: a
training step of the prior, and `predict` with the tokenizer's decoder and
with a direct decoder. Each row is the median latency of several calls until
results are on the host; memory is the GPU's peak memory, weights included.
PyTorch can measure all rows in one process; JAX cannot reset the peak and
needs a process for each row, which `--apart` starts.

    KERAS_BACKEND=torch python benchmarks/accelerator.py
    KERAS_BACKEND=jax python benchmarks/accelerator.py --apart
"""

import dataclasses
import time

import keras
import numpy as np
import segmenter_speed
import training_step
import tyro
from measuring import in_new_process


@dataclasses.dataclass(frozen=True)
class Settings:
    """Command-line settings."""

    step_precisions: tuple[str, ...] = ("float32", "mixed_bfloat16")
    predict_precisions: tuple[str, ...] = ("float32", "bfloat16", "float16")
    crop: int = 768
    """Side of the square training crops in pixels."""
    batch: int = 2
    """Batch size of a training step: the paper's 16 on 8 GPUs."""
    sides: tuple[int, ...] = (512, 1024)
    """Sides of the square photos to segment, in pixels."""
    rounds: int = 5
    apart: bool = False
    """Measure each row in a separate process."""


def step(precision, batch, side):
    """Return a function that runs a training step of the prior."""
    prior = training_step.build(segmenter_speed.RESNET, precision)
    return training_step.step_of(prior, (side, side), batch)


def predict(precision, decoder, side):
    """Return a function that segments one photo."""
    segmenter = segmenter_speed.build(
        segmenter_speed.RESNET, decoder, precision
    )
    generator = np.random.default_rng(0)
    photo = generator.integers(0, 256, (1, side, side, 3), "uint8")
    return lambda: segmenter.predict(photo)


def measure(work, rounds, *arguments):
    """Return the first call's seconds, the median milliseconds, peak GB."""
    reset_peak()
    function = {"step": step, "predict": predict}[work](*arguments)
    start = time.perf_counter()
    function()
    first = time.perf_counter() - start
    function()
    latencies = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        latencies.append(time.perf_counter() - start)
    return first, 1e3 * float(np.median(latencies)), peak_gigabytes()


def reset_peak():
    """Reset the GPU's peak memory, where the backend can."""
    if keras.backend.backend() == "torch":
        import torch

        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_gigabytes():
    """Return the GPU's peak memory in 1e9 bytes."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.max_memory_allocated() / 1e9
    import jax

    return jax.devices()[0].memory_stats()["peak_bytes_in_use"] / 1e9


def main(settings):
    """Print a row for each precision and work."""
    size = settings.batch, settings.crop
    rows = [("step", p, *size) for p in settings.step_precisions]
    rows += [
        ("predict", precision, decoder, side)
        for side in settings.sides
        for decoder in segmenter_speed.DECODERS
        for precision in settings.predict_precisions
    ]
    print(
        "| work | precision | batch or decoder | side | first call, s | ms | "
        "peak GB |\n|---|---|---|---|---|---|---|"
    )
    for work, *arguments in rows:
        inputs = work, settings.rounds, *arguments
        if settings.apart:
            result = in_new_process(measure, *inputs)
        else:
            result = measure(*inputs)
        labels = " | ".join(map(str, (work, *arguments)))
        first, milliseconds, gigabytes = result
        print(
            f"| {labels} | {first:.1f} | {milliseconds:.1f} | "
            f"{gigabytes:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
