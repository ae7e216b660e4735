"""Unpickle the content of PyTorch files without executing code from them.

A pickle is a program that may reference any function by name and call it.
This unpickler only resolves names on an allowlist, to the placeholders of this
module, which record their arguments. Any other name is an error.
"""

import pickle
import pickletools
import re
from typing import NamedTuple

import numpy as np

_PLAIN_DTYPE = re.compile(r"[biufc]\d{1,2}")
_STORAGES = (
    "FloatStorage", "DoubleStorage", "HalfStorage", "BFloat16Storage",
    "LongStorage", "IntStorage", "ShortStorage", "CharStorage", "ByteStorage",
    "BoolStorage", "ComplexFloatStorage", "ComplexDoubleStorage",
)  # fmt: skip
_DTYPES = (
    "float32", "float64", "float16", "bfloat16", "int64", "int32", "int16",
    "int8", "uint8", "bool", "complex64", "complex128",
)  # fmt: skip


class FileError(ValueError):
    """Raised if a file cannot be read; the message contains its name."""


class Storage(NamedTuple):
    """A storage of the file: its PyTorch class, key and number of elements."""

    kind: str
    key: str
    count: int


class Tensor(NamedTuple):
    """A tensor's metadata; its elements are in a storage."""

    storage: Storage
    offset: int
    shape: tuple
    strides: tuple


class Mapping(dict):
    """Placeholder for `OrderedDict`; attributes set on it are dropped."""

    __slots__ = ()

    def __setstate__(self, state):
        pass


class Module:
    """Placeholder for an object of an allowed class, without its code.

    Attributes:
        kind: Qualified name of the object's class.
        state: The object's pickled state, usually a dict of attributes.
    """

    kind = None
    state = None

    def __init__(self, *_, **__):
        pass

    def __setstate__(self, state):
        self.state = state


class Array:
    """Placeholder for a NumPy array, which is its attribute `value`."""

    def __init__(self):
        self.value = None

    def __setstate__(self, state):
        _, shape, dtype, is_fortran, data = state
        order = "F" if is_fortran else "C"
        flat = np.frombuffer(data, dtype.value)
        self.value = flat.reshape(shape, order=order)


class _Dtype:
    def __init__(self, code, *_):
        if not _PLAIN_DTYPE.fullmatch(code):
            raise pickle.UnpicklingError(f"NumPy dtype {code!r}")
        self.value = np.dtype(code)

    def __setstate__(self, state):
        order = state[1]
        if order in "<>":
            self.value = self.value.newbyteorder(order)


class _Function:
    """A function that a pickle may call but not modify."""

    __slots__ = ("_call",)

    def __init__(self, call):
        self._call = call

    def __call__(self, *args):
        return self._call(*args)

    def __setstate__(self, state):
        raise pickle.UnpicklingError("state of a function")


def load(file, path, classes=()):
    """Unpickle the next object of an open file.

    Args:
        file: A binary file; afterwards it is positioned behind the pickle.
        path: Its name, for error messages.
        classes: Qualified names of additional allowed classes, whose objects
            become `Module` placeholders.

    Returns:
        A pair: the object, composed of plain Python values and the
        placeholders of this module; and a dict from key to the `Storage`
        objects that it references.

    Raises:
        ValueError: If the pickle references anything that is not allowed, or
            is corrupt.
    """
    unpickler = _Unpickler(file, path, classes)
    try:
        _check_memo(file)
        return unpickler.load(), unpickler.storages
    except FileError:
        raise
    # A corrupt pickle can raise almost any exception, even `MemoryError`.
    except Exception as error:
        raise FileError(
            f"{path} must be a file written by `torch.save`; it is corrupt, "
            "truncated or of another format. Download it again. "
            f"Received: {error!r}"
        ) from error


def _check_memo(file):
    """Raise an error at a memo index that would allocate gigabytes."""
    start = file.tell()
    for opcode, argument, position in pickletools.genops(file):
        is_put = opcode.name in ("PUT", "LONG_BINPUT")
        # Valid indices count up from 0, at most one per byte.
        if is_put and not 0 <= argument <= position - start:
            raise pickle.UnpicklingError(f"memo index {argument}")
    file.seek(start)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file, path, classes):
        super().__init__(file)
        self._path = path
        # New classes for each file, so that no state is shared between files.
        self._placeholders = {
            name: type(name, (Module,), {"kind": name}) for name in classes
        }
        self.storages = {}

    def find_class(self, module, name):
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        if f"{module}.{name}" in self._placeholders:
            return self._placeholders[f"{module}.{name}"]
        raise FileError(
            f"{self._path} references `{module}.{name}`, which is not on the "
            "allowlist for checkpoints of this kind. No code from the file "
            "was executed. Get it from a trusted source, or, if you wrote it, "
            "save its `state_dict()` only. "
            f"Received: {module}.{name}"
        )

    def persistent_load(self, pid):
        if not isinstance(pid, tuple):
            raise pickle.UnpicklingError(f"persistent id {pid!r}")
        # The legacy format wraps classes together with their source code.
        if pid[0] == "module":
            return pid[1]
        tag, kind, key, _, count, *views = pid
        is_storage = tag == "storage" and kind in _STORAGES
        # In PyTorch before 0.4, storages could be views of others.
        if not is_storage or views not in ([], [None]):
            raise pickle.UnpicklingError(f"persistent id {pid!r}")
        if type(count) is not int or count < 0:
            raise pickle.UnpicklingError(f"a storage of {count!r} elements")
        storage = Storage(kind, str(key), count)
        if self.storages.setdefault(storage.key, storage) != storage:
            raise pickle.UnpicklingError(f"two storages with the key {key!r}")
        return storage


def _rebuild_tensor(storage, offset, shape, strides, *_):
    if not isinstance(storage, Storage):
        raise pickle.UnpicklingError(f"a tensor in {storage!r}")
    return Tensor(storage, offset, tuple(shape), tuple(strides))


def _rebuild_parameter(data, *_):
    if not isinstance(data, Tensor):
        raise pickle.UnpicklingError(f"a parameter of {data!r}")
    return data


def _encode(text, encoding):
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding {encoding!r}")
    return text.encode("latin1")


def _scalar(dtype, data):
    return np.frombuffer(data, dtype.value, count=1)[0].item()


def _device(*parts):
    return ":".join(str(part) for part in parts)


def _forbid_call(*args):
    raise pickle.UnpicklingError(f"a direct call of `ndarray`: {args!r}")


_ALLOWED = {
    ("collections", "OrderedDict"): _Function(Mapping),
    ("__builtin__", "set"): _Function(set),
    ("builtins", "set"): _Function(set),
    # Empty and non-empty bytes in protocol 2.
    ("__builtin__", "bytes"): _Function(lambda: b""),
    ("_codecs", "encode"): _Function(_encode),
    ("torch", "Size"): _Function(tuple),
    ("torch", "device"): _Function(_device),
    ("torch._utils", "_rebuild_tensor"): _Function(_rebuild_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _Function(_rebuild_tensor),
    ("torch._utils", "_rebuild_parameter"): _Function(_rebuild_parameter),
    ("numpy", "dtype"): _Function(_Dtype),
    ("numpy", "ndarray"): _Function(_forbid_call),
    **{
        (f"numpy.{core}.multiarray", name): _Function(call)
        for core in ("core", "_core")
        for name, call in (
            ("scalar", _scalar),
            ("_reconstruct", lambda *_: Array()),
        )
    },
    **{("torch", name): name for name in _STORAGES},
    **{("torch", name): f"torch.{name}" for name in _DTYPES},
}
