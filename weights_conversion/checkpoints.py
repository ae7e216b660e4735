"""Read the state dict of a PyTorch checkpoint without PyTorch."""

import numpy as np

from weights_conversion import torch_files
from weights_conversion.safe_pickle import FileError

# Keys under which training frameworks nest the state dict.
_NESTED = ("state_dict", "model")


def read_checkpoint(path):
    """Read the tensors of a checkpoint without executing code from the file.

    Args:
        path: File written by `torch.save`, in the current or the legacy
            format, with a state dict, or a dict that has one under
            `state_dict` or `model`.

    Returns:
        A dict from name to read-only array, in PyTorch's layout. The arrays
        are memory-mapped views of the file, which must not be modified while
        they are in use. Dtypes are the file's, except that bfloat16 becomes
        float32.

    Raises:
        ValueError: If the file does not exist, is not a checkpoint, is
            corrupt, or references anything but tensors and plain values.
    """
    return read_checkpoint_with_meta(path)[0]


def read_checkpoint_with_meta(path):
    """Read the tensors of a checkpoint and its other entries.

    Args:
        path: As in `read_checkpoint`.

    Returns:
        A pair of the tensors, as `read_checkpoint` returns them, and a dict
        of the file's other entries. Checkpoints of MMCV have an entry `meta`
        with the source text of the training configuration under `config`.

    Raises:
        ValueError: As in `read_checkpoint`.
    """
    content = torch_files.load(path)
    if not isinstance(content, dict):
        raise FileError(
            f"{path} must contain a state dict, a dict of names and tensors. "
            f"Received: {type(content).__name__}"
        )
    tensors, other_entries = content, {}
    for key in _NESTED:
        if isinstance(content.get(key), dict):
            tensors = content[key]
            other_entries = {k: v for k, v in content.items() if k != key}
            break
    invalid = [
        name
        for name, tensor in tensors.items()
        if not isinstance(tensor, np.ndarray) or not isinstance(name, str)
    ]
    if invalid or not tensors:
        raise FileError(
            f"{path} must contain a state dict of tensors, at the top level or "
            f"under {' or '.join(f'`{key}`' for key in _NESTED)}. "
            f"Received: {invalid or list(content)} without tensors"
        )
    return tensors, other_entries
