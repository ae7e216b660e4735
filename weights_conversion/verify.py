"""Verify our models against golden files of the official modules.

    KERAS_BACKEND=jax python -m weights_conversion.verify FOLDER

compares every `*.npz` file of a folder on the current backend. Golden files
have weights, inputs and outputs of the official PyTorch modules, in any
configuration; `python -m tests.oracle golden` writes them. Prints a row for
each comparison; the exit status is 1 if any fails. Differences are maxima,
divided by the standard deviation of the reference. Tokens and masks must be
equal except at near ties of the reference.
"""

import pathlib
import sys

import keras

from weights_conversion.golden import heads, networks, protocol
from weights_conversion.golden.comparison import Golden, Row

# By an array name unique to each kind of file.
_KINDS = {
    "sd/encoder.blocks.input.w": networks.verify_tokenizer,
    "sd/patch_embed.projection.weight": networks.verify_backbone,
    "sd/stem.0.weight": networks.verify_backbone,
    "sd/transition1.0.0.weight": networks.verify_backbone,
    "sd/fusion_conv.conv.weight": heads.verify_head,
    "sd/decode_head.fusion_conv.conv.weight": networks.verify_segmenter,
    "sd/decode_head.conv.weight": protocol.verify_windows,
    "out/c0/lr": protocol.verify_schedule,
    "in/pred0": protocol.verify_scores,
}


def verify(path):
    """Compare our outputs with those in a golden file.

    Args:
        path: Path of the `.npz` file.

    Yields:
        A `Row` for every comparison; a failed one if the file cannot be read
        or its contents fit no model.
    """
    try:
        golden = Golden(path)
        yield from _kind(golden)(golden)
    # An invalid file must not prevent the verification of the others.
    except Exception as error:
        measure = f"{type(error).__name__}: {error}"
        yield Row("", measure.replace("\n", " ")[:500], False)


def main(folder: pathlib.Path):
    """Verify our models against golden files of the official modules.

    Args:
        folder: Folder with the `.npz` files.
    """
    paths = sorted(pathlib.Path(folder).glob("*.npz"))
    if not paths:
        sys.exit(f"error: {folder} must be a folder with `.npz` files")
    print(f"{keras.backend.backend()} backend")
    counts = {True: 0, False: 0}
    for path in paths:
        for row in verify(path):
            counts[row.is_passed] += 1
            mark = "" if row.is_passed else "  FAILED"
            name = f"{path.stem} {row.stage}"
            print(f"{name:<58} {row.measure}{mark}", flush=True)
    print(f"{counts[True]} passed, {counts[False]} failed")
    if counts[False]:
        sys.exit(1)


def _kind(golden):
    """Return the function that verifies this kind of golden file."""
    if "weight_decay" in golden.meta:
        return protocol.verify_decay
    for name, kind in _KINDS.items():
        if name in golden:
            return kind
    raise ValueError(
        "The file must have the arrays of one of the kinds of golden files. "
        f"Received: {golden.names()[:5]}"
    )


if __name__ == "__main__":
    import tyro

    tyro.cli(main, config=(tyro.conf.PositionalRequiredArgs,))
