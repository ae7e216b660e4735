"""Read the tensors of a pickled `torch.nn.Module`."""

import numpy as np

from weights_conversion import torch_files
from weights_conversion.safe_pickle import FileError, Module


def read_module(path, kind, parts):
    """Read the tensors of a pickled module without its Python code.

    Args:
        path: File written by `torch.save(module, path)`.
        kind: Qualified name of the module's class.
        parts: Qualified names of the other classes that it may contain.

    Returns:
        A dict from names in `module.state_dict()` to read-only arrays, as
        `checkpoints.read_checkpoint` returns it.

    Raises:
        ValueError: If the file does not exist, is corrupt, contains anything
            but a module of class `kind`, or references anything but `kind`,
            `parts` and tensors.
    """
    module = torch_files.load(path, {kind, *parts})
    received = getattr(module, "kind", type(module).__name__)
    if received != kind:
        raise FileError(
            f"{path} must contain a module of class `{kind}`. "
            f"Received: `{received}`"
        )
    tensors = {}
    _collect(path, module, "", tensors, set())
    return tensors


def _collect(path, module, prefix, tensors, seen):
    """Add the tensors of a module and its submodules to `tensors`."""
    # A cycle would recurse forever.
    if not isinstance(module, Module) or id(module) in seen:
        raise _invalid(path, prefix, module)
    seen.add(id(module))
    for name, tensor in _entries(
        path, module, prefix, "_parameters", "_buffers"
    ):
        if not isinstance(tensor, np.ndarray):
            raise _invalid(path, prefix + name, tensor)
        tensors[prefix + name] = tensor
    for name, child in _entries(path, module, prefix, "_modules"):
        _collect(path, child, f"{prefix}{name}.", tensors, seen)


def _entries(path, module, prefix, *keys):
    """Yield the entries of dict attributes of a module, except None."""
    if not isinstance(module.state, dict):
        raise _invalid(path, prefix, module.state)
    for key in keys:
        entries = module.state.get(key, {})
        if not isinstance(entries, dict):
            raise _invalid(path, prefix + key, entries)
        for name, entry in entries.items():
            if entry is not None:
                yield str(name), entry


def _invalid(path, name, value):
    """Return the error for an entry that is no module or no tensor."""
    return FileError(
        f"{path} must contain a tree of modules with tensors. "
        f"`{name.rstrip('.')}` is of another type or occurs twice. "
        f"Received: {type(value).__name__}"
    )
