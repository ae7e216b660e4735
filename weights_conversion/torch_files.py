"""Opens the two formats of `torch.save`, without PyTorch.

Since 1.6 PyTorch writes a zip archive: a pickle, and one uncompressed entry
for each storage. Before, it wrote pickles one after the other, followed by
the storages. Either way the numbers lie in the file as they lie in memory,
so tensors are views of the mapped file and are read when they are used.
"""

import contextlib
import io
import math
import mmap
import pathlib
import struct
import zipfile

import numpy as np

from weights_conversion import safe_pickle
from weights_conversion.safe_pickle import FileError

_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_VERSION = 1001
_ZIP_START = b"PK\x03\x04"
_ZIP_HEADER = 30
_NUMPY_DTYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    # Half of a float32; NumPy has no such type.
    "BFloat16Storage": "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
    "ComplexFloatStorage": "<c8",
    "ComplexDoubleStorage": "<c16",
}


def load(path, classes=()):
    """Reads a file of `torch.save` without running anything from it.

    Args:
        path: The file.
        classes: Dotted names of classes whose objects may be in it. They are
            read as `safe_pickle.Module`, their code is not needed.

    Returns:
        What was saved, out of dicts, lists, tuples, numbers and strings. A
        tensor is a read-only NumPy array, a view of the file, which must
        stay as it is while the array lives; bfloat16 becomes float32.

    Raises:
        ValueError: If there is no such file, it is of another kind or
            damaged, or it asks for anything but tensors and `classes`.
    """
    path = pathlib.Path(path)
    content = _map(path)
    with _naming(path):
        if content[: len(_ZIP_START)] == _ZIP_START:
            value, arrays = _read_zip(path, content, classes)
        else:
            value, arrays = _read_legacy(path, content, classes)
        return _plain(value, arrays, {})


def drop_pages(array):
    """Lets go of the memory that the pages of an array's file take up.

    What was read of the file stays in memory as long as it is mapped, beside
    the copy that a model makes of it. The array stays valid: whatever of it
    is used again, is read again.

    Args:
        array: An array that `load` gave, or a view of one; nothing happens
            to any other.
    """
    owner = array
    while owner is not None and not isinstance(owner, mmap.mmap):
        # NumPy calls it `base`, a memoryview `obj`.
        owner = getattr(owner, "base", getattr(owner, "obj", None))
    if owner is not None and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)


def _map(path):
    if not path.is_file():
        raise FileError(
            "The checkpoint must be a file written by `torch.save`. "
            f"Received: {path}, which does not exist"
        )
    if path.stat().st_size == 0:
        raise FileError(f"{path} is empty. Download it again")
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


@contextlib.contextmanager
def _naming(path):
    """Turns whatever a damaged file brings about into one error."""
    try:
        yield
    except FileError:
        raise
    except Exception as error:
        raise FileError(
            f"{path} must be a whole file written by `torch.save`; it is "
            f"damaged or cut short. Download it again. Received: {error!r}"
        ) from error


def _read_zip(path, content, classes):
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except zipfile.BadZipFile as error:
        raise FileError(
            f"{path} begins like a checkpoint and lacks its end. Download it "
            f"again. Received: {len(content)} bytes, {error}"
        ) from error
    entries = {entry.filename: entry for entry in entries}
    roots = [
        name.removesuffix("data.pkl")
        for name in entries
        if name.count("/") == 1 and name.endswith("/data.pkl")
    ]
    if len(roots) != 1:
        raise FileError(
            f"{path} is a zip archive, but not one that `torch.save` writes: "
            "it must hold `data.pkl` in one folder. "
            f"Received: {sorted(entries)[:5]}"
        )

    def find(name):
        entry = entries.get(roots[0] + name)
        if entry is None:
            raise FileError(
                f"{path} must hold {roots[0]}{name}, which its pickle "
                "mentions. Download it again"
            )
        return _find_entry(path, content, entry)

    if roots[0] + "byteorder" in entries:
        start, size = find("byteorder")
        _require_little_endian(path, content[start : start + size] == b"little")
    start, size = find("data.pkl")
    pickled = io.BytesIO(content[start : start + size])
    value, storages = safe_pickle.load(pickled, path, classes)
    places = {key: find(f"data/{key}") for key in storages}
    return value, {
        key: _array(path, content, storages[key], *place)
        for key, place in places.items()
    }


def _find_entry(path, content, entry):
    """Returns where the bytes of an uncompressed entry begin; their number."""
    offset = entry.header_offset
    header = content[offset : offset + _ZIP_HEADER]
    is_encrypted = entry.flag_bits & 1
    if entry.compress_type != zipfile.ZIP_STORED or is_encrypted:
        raise FileError(
            f"{path} must be as `torch.save` writes it, not compressed or "
            f"encrypted. Received: {entry.filename}, which is"
        )
    name_size, extra_size = struct.unpack("<HH", header[26:])
    start = offset + _ZIP_HEADER + name_size + extra_size
    return start, entry.file_size


def _read_legacy(path, content, classes):
    with path.open("rb") as file:
        _require_magic(path, content, file)
        version, _ = safe_pickle.load(file, path)
        if version != _LEGACY_VERSION:
            raise FileError(
                f"{path} must have version {_LEGACY_VERSION} of PyTorch's old "
                f"format. Received: {version!r}"
            )
        system, _ = safe_pickle.load(file, path)
        _require_little_endian(path, system["little_endian"])
        value, storages = safe_pickle.load(file, path, classes)
        keys, _ = safe_pickle.load(file, path)
        position = file.tell()
    arrays = {}
    for key in keys:
        storage = storages[key]
        (count,) = struct.unpack_from("<q", content, position)
        size = count * np.dtype(_NUMPY_DTYPES[storage.kind]).itemsize
        arrays[key] = _array(path, content, storage, position + 8, size)
        position += 8 + size
    return value, arrays


def _require_magic(path, content, file):
    magic = None
    # Every binary pickle begins with this byte.
    if content[:1] == b"\x80":
        with contextlib.suppress(FileError):
            magic, _ = safe_pickle.load(file, path)
    if magic != _MAGIC:
        start = content[:60].lstrip()
        is_page = start.lower().startswith((b"<!doctype", b"<html", b"<?xml"))
        kind = "a web page, as a failed download leaves" if is_page else start
        raise FileError(
            f"{path} must be a file written by `torch.save`. Download it "
            f"again. Received: {kind}"
        )


def _require_little_endian(path, is_little_endian):
    if not is_little_endian:
        raise FileError(
            f"{path} was written on a big-endian machine. Load it there with "
            "PyTorch and save it on a little-endian one"
        )


def _array(path, content, storage, start, size):
    dtype = np.dtype(_NUMPY_DTYPES[storage.kind])
    needed = storage.count * dtype.itemsize
    if size < needed or start + size > len(content):
        raise FileError(
            f"{path} is cut short: the numbers of storage {storage.key} must "
            f"be {needed} bytes from byte {start} on. Download it again. "
            f"Received: {min(size, len(content) - start)} bytes"
        )
    if not storage.count:
        return np.empty(0, dtype)
    array = np.frombuffer(content, dtype, storage.count, start)
    if storage.kind == "BFloat16Storage":
        array = (array.astype("<u4") << 16).view("<f4")
        array.flags.writeable = False
    return array


def _plain(value, arrays, seen):
    """Replaces the stand-ins of tensors and arrays, however deep they lie."""
    if id(value) in seen:
        return seen[id(value)][1]

    def remember(result):
        # With the value itself, whose id would otherwise be given anew.
        seen[id(value)] = value, result
        return result

    if isinstance(value, safe_pickle.Tensor):
        return remember(_view(value, arrays))
    if isinstance(value, safe_pickle.Array):
        return value.value
    if isinstance(value, tuple):
        return remember(tuple(_plain(item, arrays, seen) for item in value))
    if isinstance(value, list):
        items = remember([])
        items.extend(_plain(item, arrays, seen) for item in value)
        return items
    if isinstance(value, dict):
        entries = remember({})
        for key, item in value.items():
            entries[key] = _plain(item, arrays, seen)
        return entries
    if isinstance(value, safe_pickle.Module):
        remember(value)
        value.state = _plain(value.state, arrays, seen)
    return value


def _view(tensor, arrays):
    flat = arrays[tensor.storage.key]
    shape, strides = tensor.shape, tensor.strides
    sizes = (tensor.offset, *shape, *strides)
    if len(shape) != len(strides) or not all(
        type(size) is int and size >= 0 for size in sizes
    ):
        raise ValueError(f"a tensor of shape {shape} and strides {strides}")
    count = math.prod(shape)
    if count == 0:
        return np.empty(shape, flat.dtype)
    last = tensor.offset + sum(
        (size - 1) * stride for size, stride in zip(shape, strides, strict=True)
    )
    # A tensor may repeat numbers without end; a weight never does.
    if last >= flat.size or count > flat.size:
        raise ValueError(f"a tensor of shape {shape} in {flat.size} numbers")
    return np.lib.stride_tricks.as_strided(
        flat[tensor.offset :],
        shape,
        [stride * flat.itemsize for stride in strides],
        writeable=False,
    )
