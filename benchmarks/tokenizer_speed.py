"""The tokenizer against OpenAI's package `DALL-E`, which computes in PyTorch.

The same random weights in both, one picture, in turns in one process. Seconds
are processor seconds of the fastest round, which depend little on how many
threads there are; memory is what each adds at most to the weights, in a
process of its own which has done the same to a small picture before. On
TensorFlow and JAX ours is compared to PyTorch's DALL-E as well.

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
from measuring import in_new_process, peak_gigabytes, seconds_in_turn

from gss_keras.ops.flops import count_products
from weights_conversion import dalle

WORKS = "encode", "decode"


@dataclasses.dataclass(frozen=True)
class Settings:
    """Sizes."""

    side: int = 256
    """Of the square picture, in pixels."""
    memory_sides: tuple[int, ...] = (256, 512)
    """Of those that memory is measured with."""
    rounds: int = 4
    """How often each is timed."""


def build(side):
    """Return what OpenAI's modules and ours do to a picture, and ours."""
    torch.manual_seed(0)
    encoder, decoder = Encoder().eval(), Decoder().eval()
    tensors = {
        f"{name}.{key}": value.numpy()
        for name, module in (("encoder", encoder), ("decoder", decoder))
        for key, value in module.state_dict().items()
    }
    tokenizer = dalle.build(tensors)
    generator = np.random.default_rng(0)
    picture = generator.uniform(size=(1, side, side, 3)).astype("float32")
    tokens = generator.integers(0, 8192, (1, side // 8, side // 8))
    tokens = ops.convert_to_tensor(tokens.astype("int32"))
    picture = ops.convert_to_tensor(picture)

    def encode():
        pixels = torch.as_tensor(ops.convert_to_numpy(picture))
        with torch.no_grad():
            logits = encoder(0.8 * pixels.permute(0, 3, 1, 2) + 0.1)
        return logits.argmax(1).numpy()

    def decode():
        chosen = torch.as_tensor(ops.convert_to_numpy(tokens)).long()
        chosen = torch.nn.functional.one_hot(chosen, 8192).permute(0, 3, 1, 2)
        with torch.no_grad():
            painted = decoder(chosen.float()).permute(0, 2, 3, 1)[..., :3]
            painted = ((torch.sigmoid(painted) - 0.1) / 0.8).clamp(0, 1)
        return painted.numpy()

    theirs = {"encode": encode, "decode": decode}
    ours = {
        "encode": compiled(tokenizer.encode, picture),
        "decode": compiled(tokenizer.decode, tokens),
    }
    return theirs, ours, tokenizer


def compiled(function, argument):
    """Return the call as the backend runs it in `predict`."""
    if keras.backend.backend() == "torch":
        call = torch.no_grad()(function)
    elif keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        call = tf.function(function)
    else:
        import jax

        call = jax.jit(function)
    return lambda: ops.convert_to_numpy(call(argument))


def peak(side, whose, work):
    """Return the gigabytes that one of them adds to the weights."""
    index = ["theirs", "ours"].index(whose)
    build(64)[index][work]()  # starts up
    return peak_gigabytes(build(side)[index][work])


def main(settings):
    """Print a row each for encoding and decoding."""
    theirs, ours, tokenizer = build(settings.side)
    grid = settings.side // 8
    counts = {
        "encode": count_products(
            tokenizer.encode_features, (1, settings.side, settings.side, 3)
        ),
        "decode": count_products(
            tokenizer.decode_features, (1, grid, grid, 128)
        ),
    }
    sides = " / ".join(map(str, settings.memory_sides))
    print(
        f"| work | DALL-E, s | ours, s | times faster | our GFLOP "
        f"| DALL-E, GB at {sides} | ours, GB at {sides} | largest difference |"
        "\n|---|---|---|---|---|---|---|---|"
    )
    for work in WORKS:
        pair = {"theirs": theirs[work], "ours": ours[work]}
        apart = np.abs(theirs[work]() - ours[work]()).max()
        seconds = seconds_in_turn(pair, settings.rounds, time.process_time)
        memory = {
            whose: " / ".join(
                f"{in_new_process(peak, side, whose, work):.2f}"
                for side in settings.memory_sides
            )
            for whose in pair
        }
        print(
            f"| {work} | {seconds['theirs']:.2f} | {seconds['ours']:.2f} | "
            f"{seconds['theirs'] / seconds['ours']:.2f} | "
            f"{counts[work] / 1e9:.0f} | {memory['theirs']} | "
            f"{memory['ours']} | {apart:.1e} |",
            flush=True,
        )


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
