"""Verifies our models against golden files of the official modules.

    KERAS_BACKEND=jax python -m weights_conversion.verify FOLDER

compares every `*.npz` in a folder on the current backend: weights, inputs and
outputs computed once by the official PyTorch modules, of any configuration.
One row a comparison; the exit status is 1 when any fails. A difference is the
largest one, over the standard deviation of the reference. Tokens and masks
must agree wherever the reference was not close to a tie.
"""

import pathlib
import sys

import keras

from weights_conversion.golden import heads, networks, protocol
from weights_conversion.golden.comparison import Golden, Row

# By a name that only this kind of file has.
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
    """Compares one golden file.

    Args:
        path: Path of the `.npz` file.

    Yields:
        A `Row` for every comparison. A file that cannot be read, or whose
        contents fit no model, gives one that failed.
    """
    try:
        golden = Golden(path)
        yield from _kind(golden)(golden)
    # Whatever is wrong with a file must not keep the others from their turn.
    except Exception as error:
        measure = f"{type(error).__name__}: {error}"
        yield Row("", measure.replace("\n", " ")[:500], False)


def main(folder: pathlib.Path):
    """Verifies our models against golden files of the official modules.

    Args:
        folder: Folder with the `.npz` files.
    """
    paths = sorted(pathlib.Path(folder).glob("*.npz"))
    if not paths:
        sys.exit(f"error: {folder} must be a folder with `.npz` files")
    print(f"on Keras' {keras.backend.backend()} backend")
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
    if "weight_decay" in golden.meta:
        return protocol.verify_decay
    for name, kind in _KINDS.items():
        if name in golden:
            return kind
    raise ValueError(
        "The file must be one of the kinds of golden files. "
        f"Received: {golden.names()[:5]}"
    )


if __name__ == "__main__":
    import tyro

    tyro.cli(main, config=(tyro.conf.PositionalRequiredArgs,))
