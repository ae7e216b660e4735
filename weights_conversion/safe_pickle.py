"""Unpickles what PyTorch files hold, without running anything from them.

A pickle is a program: it may ask for any function by name and call it. Here
it gets nothing but the stand-ins of this file, which record what they are
given. Whatever else it asks for is an error.
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
    """Says what is wrong with a file; names the file."""


class Storage(NamedTuple):
    """A run of numbers in the file: kind, key and count of its elements."""

    kind: str
    key: str
    count: int


class Tensor(NamedTuple):
    """What the pickle says of a tensor; its numbers lie in a storage."""

    storage: Storage
    offset: int
    shape: tuple
    strides: tuple


class Mapping(dict):
    """Stands in for `OrderedDict`; attributes given to it are dropped."""

    __slots__ = ()

    def __setstate__(self, state):
        pass


class Module:
    """Stands in for an object of an allowed class: its state, no behavior.

    Attributes:
        kind: Dotted name of the class it was.
        state: What the pickle gave it, usually a dict of attributes.
    """

    kind = None
    state = None

    def __init__(self, *_, **__):
        pass

    def __setstate__(self, state):
        self.state = state


class Array:
    """Stands in for a NumPy array; `value` is an array of plain numbers."""

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
    """A function that a pickle may call and cannot alter."""

    __slots__ = ("_call",)

    def __init__(self, call):
        self._call = call

    def __call__(self, *args):
        return self._call(*args)

    def __setstate__(self, state):
        raise pickle.UnpicklingError("a function was given a state")


def load(file, path, classes=()):
    """Unpickles the next object of an open file.

    Args:
        file: A binary file; afterwards it stands behind the pickle.
        path: Its name, for error messages.
        classes: Dotted names of further classes to stand in for.

    Returns:
        A pair: the object, made of plain Python values and the stand-ins of
        this file; and a dict from key to the `Storage` it mentions.

    Raises:
        ValueError: If the pickle asks for anything that is not allowed, or
            is damaged.
    """
    unpickler = _Unpickler(file, path, classes)
    try:
        _check_memo(file)
        return unpickler.load(), unpickler.storages
    except FileError:
        raise
    # A damaged pickle fails in a dozen ways, memory and recursion included.
    except Exception as error:
        raise FileError(
            f"{path} must be a whole file written by `torch.save`; it is "
            "damaged, cut short or something else. Download it again. "
            f"Received: {error!r}"
        ) from error


def _check_memo(file):
    """Refuses a memo index that Python would fill gigabytes up to."""
    start = file.tell()
    for opcode, argument, position in pickletools.genops(file):
        is_put = opcode.name in ("PUT", "LONG_BINPUT")
        # Indices count up from 0, no faster than bytes.
        if is_put and not 0 <= argument <= position - start:
            raise pickle.UnpicklingError(f"a memo of {argument} entries")
    file.seek(start)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file, path, classes):
        super().__init__(file)
        self._path = path
        # Classes of its own for each file: none carries over to the next.
        self._stand_ins = {
            name: type(name, (Module,), {"kind": name}) for name in classes
        }
        self.storages = {}

    def find_class(self, module, name):
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        if f"{module}.{name}" in self._stand_ins:
            return self._stand_ins[f"{module}.{name}"]
        raise FileError(
            f"{self._path} asks for `{module}.{name}`, which is not on the "
            "list of what a checkpoint of this kind needs. Nothing of the "
            "file was run. Get it from a source you trust, or, where it is "
            "yours, save its `state_dict()` alone. "
            f"Received: {module}.{name}"
        )

    def persistent_load(self, pid):
        if not isinstance(pid, tuple):
            raise pickle.UnpicklingError(f"persistent id {pid!r}")
        # The old format wraps classes to carry their source code along.
        if pid[0] == "module":
            return pid[1]
        tag, kind, key, _, count, *views = pid
        is_storage = tag == "storage" and kind in _STORAGES
        # PyTorch before 0.4 let storages be parts of others.
        if not is_storage or views not in ([], [None]):
            raise pickle.UnpicklingError(f"persistent id {pid!r}")
        if type(count) is not int or count < 0:
            raise pickle.UnpicklingError(f"a storage of {count!r} numbers")
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


def _refuse(*args):
    raise pickle.UnpicklingError(f"a call that only NumPy makes: {args!r}")


_ALLOWED = {
    ("collections", "OrderedDict"): _Function(Mapping),
    ("__builtin__", "set"): _Function(set),
    ("builtins", "set"): _Function(set),
    # Bytes as protocol 2 writes them, none and some.
    ("__builtin__", "bytes"): _Function(lambda: b""),
    ("_codecs", "encode"): _Function(_encode),
    ("torch", "Size"): _Function(tuple),
    ("torch", "device"): _Function(_device),
    ("torch._utils", "_rebuild_tensor"): _Function(_rebuild_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _Function(_rebuild_tensor),
    ("torch._utils", "_rebuild_parameter"): _Function(_rebuild_parameter),
    ("numpy", "dtype"): _Function(_Dtype),
    ("numpy", "ndarray"): _Function(_refuse),
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
