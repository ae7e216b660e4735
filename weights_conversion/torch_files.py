"""Read both file formats of `torch.save` without PyTorch.

Since version 1.6 PyTorch writes a zip archive with a pickle and an
uncompressed entry for each storage. The legacy format is a sequence of pickles
followed by the storages. Both have elements in their memory layout, so tensors
are views of the memory-mapped file and are loaded lazily.
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
    # The upper half of a float32; NumPy has no bfloat16.
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
    """Load a file of `torch.save` without executing code from it.

    Args:
        path: The file.
        classes: Qualified names of classes whose objects it may contain. They
            are loaded as `safe_pickle.Module`; their code is not needed.

    Returns:
        The saved object, composed of dicts, lists, tuples, numbers and
        strings. A tensor is a read-only NumPy array, a memory-mapped view of
        the file, which must not be modified while the array is in use;
        bfloat16 becomes float32.

    Raises:
        ValueError: If the file does not exist, has another format, is
            corrupt, or references anything but tensors and `classes`.
    """
    path = pathlib.Path(path)
    content = _map(path)
    with _naming_file(path):
        if content[: len(_ZIP_START)] == _ZIP_START:
            value, arrays = _read_zip(path, content, classes)
        else:
            value, arrays = _read_legacy(path, content, classes)
        return _plain(value, arrays, {})


def drop_pages(array):
    """Release the resident pages of an array's memory-mapped file.

    Pages that were read stay resident while the file is mapped, in addition
    to a model's copy of the weights. The array stays valid: its pages are
    read again on access.

    Args:
        array: An array that `load` returned, or a view of one; other arrays
            are ignored.
    """
    owner = array
    while owner is not None and not isinstance(owner, mmap.mmap):
        # The owner of memory is `base` in NumPy, and `obj` of a memoryview.
        owner = getattr(owner, "base", getattr(owner, "obj", None))
    if owner is not None and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)


def _map(path):
    """Memory-map a file for reading."""
    if not path.is_file():
        raise FileError(
            "The checkpoint must be a file written by `torch.save`. "
            f"Received: {path}, which does not exist"
        )
    if path.stat().st_size == 0:
        raise FileError(
            f"{path} must not be empty. Download it again. Received: 0 bytes"
        )
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


@contextlib.contextmanager
def _naming_file(path):
    """Convert any exception from a corrupt file to an error that names it."""
    try:
        yield
    except FileError:
        raise
    except Exception as error:
        raise FileError(
            f"{path} must be a file written by `torch.save`; it is corrupt or "
            f"truncated. Download it again. Received: {error!r}"
        ) from error


def _read_zip(path, content, classes):
    """Read the object and the storages of a zip archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except zipfile.BadZipFile as error:
        raise FileError(
            f"{path} must be a complete checkpoint; it is truncated. Download "
            f"it again. Received: {len(content)} bytes, {error}"
        ) from error
    entries = {entry.filename: entry for entry in entries}
    roots = [
        name.removesuffix("data.pkl")
        for name in entries
        if name.count("/") == 1 and name.endswith("/data.pkl")
    ]
    if len(roots) != 1:
        raise FileError(
            f"{path} is a zip archive, but not one written by `torch.save`: "
            "it must contain `data.pkl` in exactly one folder. "
            f"Received: {sorted(entries)[:5]}"
        )

    def find(name):
        entry = entries.get(roots[0] + name)
        if entry is None:
            raise FileError(
                f"{path} must contain {roots[0]}{name}, which its pickle "
                "references. Download it again. "
                f"Received: {sorted(entries)[:5]}"
            )
        return _find_entry(path, content, entry)

    if roots[0] + "byteorder" in entries:
        start, size = find("byteorder")
        _require_little_endian(path, content[start : start + size] == b"little")
    start, size = find("data.pkl")
    pickled = io.BytesIO(content[start : start + size])
    value, storages = safe_pickle.load(pickled, path, classes)
    locations = {key: find(f"data/{key}") for key in storages}
    return value, {
        key: _array(path, content, storages[key], *location)
        for key, location in locations.items()
    }


def _find_entry(path, content, entry):
    """Return the offset and the size of an uncompressed entry, in bytes."""
    offset = entry.header_offset
    header = content[offset : offset + _ZIP_HEADER]
    is_encrypted = entry.flag_bits & 1
    if entry.compress_type != zipfile.ZIP_STORED or is_encrypted:
        raise FileError(
            f"{path} must not be compressed or encrypted; `torch.save` does "
            f"neither. Received: compressed or encrypted {entry.filename}"
        )
    name_size, extra_size = struct.unpack("<HH", header[26:])
    start = offset + _ZIP_HEADER + name_size + extra_size
    return start, entry.file_size


def _read_legacy(path, content, classes):
    """Read the object and the storages of the legacy format."""
    with path.open("rb") as file:
        _require_magic(path, content, file)
        version, _ = safe_pickle.load(file, path)
        if version != _LEGACY_VERSION:
            raise FileError(
                f"{path} must have version {_LEGACY_VERSION} of PyTorch's "
                f"legacy format. Received: version {version!r}"
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
    """Raise an error if a file does not start with the magic number."""
    magic = None
    # Every binary pickle starts with this byte.
    if content[:1] == b"\x80":
        with contextlib.suppress(FileError):
            magic, _ = safe_pickle.load(file, path)
    if magic != _MAGIC:
        start = content[:60].lstrip()
        is_page = start.lower().startswith((b"<!doctype", b"<html", b"<?xml"))
        kind = "a web page, from a failed download" if is_page else start
        raise FileError(
            f"{path} must be a file written by `torch.save`. Download it "
            f"again. Received: {kind}"
        )


def _require_little_endian(path, is_little_endian):
    if not is_little_endian:
        raise FileError(
            f"{path} must be little-endian. Load it with PyTorch and save it "
            "on a little-endian machine. Received: a big-endian file"
        )


def _array(path, content, storage, start, size):
    """Return a storage as a read-only array, a view of the file."""
    dtype = np.dtype(_NUMPY_DTYPES[storage.kind])
    needed = storage.count * dtype.itemsize
    if size < needed or start + size > len(content):
        raise FileError(
            f"{path} is truncated: storage {storage.key} must have {needed} "
            f"bytes at offset {start}. Download it again. "
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
    """Replace the placeholders of tensors and arrays recursively."""
    if id(value) in seen:
        return seen[id(value)][1]

    def remember(result):
        # Keep the value alive, so that its id is not reused.
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
    """Return a tensor as a strided view of its storage, after checks."""
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
    # Zero strides could expand to any size; weights have none.
    if last >= flat.size or count > flat.size:
        raise ValueError(f"a tensor of shape {shape} in {flat.size} elements")
    return np.lib.stride_tricks.as_strided(
        flat[tensor.offset :],
        shape,
        [stride * flat.itemsize for stride in strides],
        writeable=False,
    )
