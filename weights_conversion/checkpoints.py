"""Reads the state dict of a PyTorch checkpoint, without PyTorch."""

import numpy as np

from weights_conversion import torch_files
from weights_conversion.safe_pickle import FileError

# Where training programs keep the weights among other things.
_NESTED = ("state_dict", "model")


def read_checkpoint(path):
    """Reads the tensors of a checkpoint, running nothing from the file.

    Args:
        path: File written by `torch.save`, of the present or the old format,
            with a state dict, or a dict that has one under `state_dict` or
            `model`.

    Returns:
        A dict from name to read-only array of the shape PyTorch uses. The
        arrays are views of the file, which must stay as it is while they
        live. Dtypes are the file's, but float32 where it has bfloat16.

    Raises:
        ValueError: If there is no such file, it is no checkpoint or damaged,
            or it asks for anything but tensors and plain values.
    """
    return read_checkpoint_with_meta(path)[0]


def read_checkpoint_with_meta(path):
    """Reads the tensors of a checkpoint and what lies beside them.

    Args:
        path: As in `read_checkpoint`.

    Returns:
        A pair of the tensors, as `read_checkpoint` returns them, and a dict
        of the file's other entries. Files of MMCV have an entry `meta`, with
        the text of the training's configuration under `config`.

    Raises:
        ValueError: As in `read_checkpoint`.
    """
    content = torch_files.load(path)
    if not isinstance(content, dict):
        raise FileError(
            f"{path} must hold a state dict: names and tensors. "
            f"Received: {type(content).__name__}"
        )
    tensors, others = content, {}
    for key in _NESTED:
        if isinstance(content.get(key), dict):
            tensors = content[key]
            others = {k: v for k, v in content.items() if k != key}
            break
    wrong = [
        name
        for name, tensor in tensors.items()
        if not isinstance(tensor, np.ndarray) or not isinstance(name, str)
    ]
    if wrong or not tensors:
        raise FileError(
            f"{path} must hold a state dict, of tensors alone, at its top or "
            f"under {' or '.join(f'`{key}`' for key in _NESTED)}. "
            f"Received: {wrong or list(content)} without tensors"
        )
    return tensors, others
