"""What a GPU makes of the published sizes, in full and in half precision.

GSS-FF with ResNet-101 and a tokenizer of DALL-E's size, random weights: a
training step of the prior, and `predict` with the tokenizer's decoder and
with a direct one in its place. Each row is the median of several calls, the
time until results are on the host; memory is the most that the GPU held since
the row began, weights included. PyTorch can measure all rows in one process;
JAX cannot forget a peak and needs one for each, which `--apart` gives.

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
    """What to measure."""

    step_precisions: tuple[str, ...] = ("float32", "mixed_bfloat16")
    predict_precisions: tuple[str, ...] = ("float32", "bfloat16", "float16")
    crop: int = 768
    """Side of the photos of a training step in pixels."""
    batch: int = 2
    """Photos of a training step: one GPU's share of the paper's 16."""
    sides: tuple[int, ...] = (512, 1024)
    """Of the photos that are predicted."""
    rounds: int = 5
    apart: bool = False
    """Measure each row in a process of its own."""


def step(precision, batch, side):
    """Return a function that trains the prior for one step."""
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
    """Return a row's milliseconds and GB, the first call's seconds before."""
    reset_peak()
    function = {"step": step, "predict": predict}[work](*arguments)
    start = time.perf_counter()
    function()
    first = time.perf_counter() - start
    function()
    spent = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        spent.append(time.perf_counter() - start)
    return first, 1e3 * float(np.median(spent)), peak_gigabytes()


def reset_peak():
    """Forget how much memory the GPU held, where the backend can."""
    if keras.backend.backend() == "torch":
        import torch

        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_gigabytes():
    """Return how much memory the GPU held at most, in 1e9 bytes."""
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
        "| work | precision | photos or decoder | side | first call, s | ms | "
        "GB |\n|---|---|---|---|---|---|---|"
    )
    for work, *arguments in rows:
        inputs = work, settings.rounds, *arguments
        if settings.apart:
            found = in_new_process(measure, *inputs)
        else:
            found = measure(*inputs)
        labels = " | ".join(map(str, (work, *arguments)))
        first, milliseconds, gigabytes = found
        print(
            f"| {labels} | {first:.1f} | {milliseconds:.1f} | "
            f"{gigabytes:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
