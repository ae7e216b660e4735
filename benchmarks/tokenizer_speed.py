"""Compare the tokenizer with OpenAI's PyTorch package `DALL-E`.

Both have the same random weights and process the same image, in alternation in
one process. Time is the CPU time of the fastest round, which hardly depends on
the number of threads; memory is the peak that a call adds to the weights, in a
separate process after a warm-up on a small image. On TensorFlow and JAX, the
reference is the PyTorch package as well.

    pip install --no-deps DALL-E
    export OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1
    KERAS_BACKEND=torch python benchmarks/tokenizer_speed.py
"""

import dataclasses
import time

import keras
import numpy as np
import torch
import tyro
from dall_e import Decoder, Encoder
from keras import ops
from measuring import fastest_seconds, in_new_process, peak_gigabytes

from gss_keras.ops.flops import count_flops
from weights_conversion import dalle

OPERATIONS = "encode", "decode"


@dataclasses.dataclass(frozen=True)
class Settings:
    """Command-line settings."""

    side: int = 256
    """Side of the square image, in pixels."""
    memory_sides: tuple[int, ...] = (256, 512)
    """Sides of the images that memory is measured with."""
    rounds: int = 4
    """Number of timed rounds."""


def build(side):
    """Return dicts of OpenAI's and our calls by name, and our tokenizer."""
    torch.manual_seed(0)
    encoder, decoder = Encoder().eval(), Decoder().eval()
    tensors = {
        f"{name}.{key}": value.numpy()
        for name, module in (("encoder", encoder), ("decoder", decoder))
        for key, value in module.state_dict().items()
    }
    tokenizer = dalle.build(tensors)
    generator = np.random.default_rng(0)
    image = generator.uniform(size=(1, side, side, 3)).astype("float32")
    tokens = generator.integers(0, 8192, (1, side // 8, side // 8))
    tokens = ops.convert_to_tensor(tokens.astype("int32"))
    image = ops.convert_to_tensor(image)

    def encode():
        pixels = torch.as_tensor(ops.convert_to_numpy(image))
        with torch.no_grad():
            logits = encoder(0.8 * pixels.permute(0, 3, 1, 2) + 0.1)
        return logits.argmax(1).numpy()

    def decode():
        one_hot = torch.as_tensor(ops.convert_to_numpy(tokens)).long()
        one_hot = torch.nn.functional.one_hot(one_hot, 8192)
        with torch.no_grad():
            decoded = decoder(one_hot.permute(0, 3, 1, 2).float())
            decoded = decoded.permute(0, 2, 3, 1)[..., :3]
            decoded = ((torch.sigmoid(decoded) - 0.1) / 0.8).clamp(0, 1)
        return decoded.numpy()

    theirs = {"encode": encode, "decode": decode}
    ours = {
        "encode": compiled(tokenizer.encode, image),
        "decode": compiled(tokenizer.decode, tokens),
    }
    return theirs, ours, tokenizer


def compiled(function, argument):
    """Return a call without gradients, compiled as in `predict`."""
    if keras.backend.backend() == "torch":
        call = torch.no_grad()(function)
    elif keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        call = tf.function(function)
    else:
        import jax

        call = jax.jit(function)
    return lambda: ops.convert_to_numpy(call(argument))


def peak(side, package, operation):
    """Return the peak memory that a call adds to the weights, in GB."""
    index = ["DALL-E", "ours"].index(package)
    build(64)[index][operation]()  # warm-up
    return peak_gigabytes(build(side)[index][operation])


def main(settings):
    """Print a row for encoding and one for decoding."""
    theirs, ours, tokenizer = build(settings.side)
    grid = settings.side // 8
    flops = {
        "encode": count_flops(
            tokenizer.encode_features, (1, settings.side, settings.side, 3)
        ),
        "decode": count_flops(tokenizer.decode_features, (1, grid, grid, 128)),
    }
    sides = " / ".join(map(str, settings.memory_sides))
    print(
        f"| operation | DALL-E, CPU s | ours, CPU s | speedup | our GFLOP "
        f"| DALL-E, GB at {sides} | ours, GB at {sides} | max difference |"
        "\n|---|---|---|---|---|---|---|---|"
    )
    for name in OPERATIONS:
        pair = {"DALL-E": theirs[name], "ours": ours[name]}
        difference = np.abs(theirs[name]() - ours[name]()).max()
        seconds = fastest_seconds(pair, settings.rounds, time.process_time)
        memory = {
            package: " / ".join(
                f"{in_new_process(peak, side, package, name):.2f}"
                for side in settings.memory_sides
            )
            for package in pair
        }
        print(
            f"| {name} | {seconds['DALL-E']:.2f} | {seconds['ours']:.2f} | "
            f"{seconds['DALL-E'] / seconds['ours']:.2f} | "
            f"{flops[name] / 1e9:.0f} | {memory['DALL-E']} | "
            f"{memory['ours']} | {difference:.1e} |",
            flush=True,
        )


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
