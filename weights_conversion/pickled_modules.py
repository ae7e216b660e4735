"""Reads the tensors of a whole `torch.nn.Module` saved as an object."""

import numpy as np

from weights_conversion import torch_files
from weights_conversion.safe_pickle import FileError, Module


def read_module(path, kind, parts):
    """Reads the tensors of a pickled module without its Python code.

    Args:
        path: File written by `torch.save(module, path)`.
        kind: Dotted name of the module's class.
        parts: Dotted names of the other classes that may be in it.

    Returns:
        A dict from the name a tensor has in `module.state_dict()` to
        read-only array, as `checkpoints.read_checkpoint` returns it.

    Raises:
        ValueError: If there is no such file, it is damaged, holds something
            else than a module of class `kind`, or asks for anything that is
            not among `kind`, `parts` and tensors.
    """
    module = torch_files.load(path, {kind, *parts})
    received = getattr(module, "kind", type(module).__name__)
    if received != kind:
        raise FileError(
            f"{path} must hold a module of class `{kind}`. "
            f"Received: `{received}`"
        )
    tensors = {}
    _collect(path, module, "", tensors, set())
    return tensors


def _collect(path, module, prefix, tensors, seen):
    # A module within itself would never end.
    if not isinstance(module, Module) or id(module) in seen:
        raise _damaged(path, prefix, module)
    seen.add(id(module))
    for name, tensor in _entries(
        path, module, prefix, "_parameters", "_buffers"
    ):
        if not isinstance(tensor, np.ndarray):
            raise _damaged(path, prefix + name, tensor)
        tensors[prefix + name] = tensor
    for name, child in _entries(path, module, prefix, "_modules"):
        _collect(path, child, f"{prefix}{name}.", tensors, seen)


def _entries(path, module, prefix, *keys):
    if not isinstance(module.state, dict):
        raise _damaged(path, prefix, module.state)
    for key in keys:
        entries = module.state.get(key, {})
        if not isinstance(entries, dict):
            raise _damaged(path, prefix + key, entries)
        for name, entry in entries.items():
            if entry is not None:
                yield str(name), entry


def _damaged(path, name, value):
    return FileError(
        f"{path} must hold a tree of modules and their tensors, each once; "
        f"`{name.rstrip('.')}` is something else. "
        f"Received: {type(value).__name__}"
    )
