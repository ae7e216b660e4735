"""Store kernels in fewer bits than models compute with."""

import contextlib
import os
import pathlib
import tempfile

import numpy as np

STORED = ("float16", "int8")
_SCALES = "scales"


def shrink(path, dtype):
    """Rewrite the float32 kernels of a file of weights in fewer bits.

    Vectors keep their type: they are a small part of the file, and variances
    of batch norms can be too small for float16.

    Args:
        path: A `pathlib.Path` of an HDF5 file that Keras wrote.
        dtype: "float16", or "int8" for whole numbers from -127 to 127 with a
            float32 scale for each output channel, in the group `scales`.
    """
    import h5py

    whole = path.with_suffix(".whole")
    os.replace(path, whole)
    with h5py.File(whole, "r") as source, h5py.File(path, "w") as target:

        def copy(name, item):
            values, scale = item[()], None
            if item.ndim > 1 and item.dtype == "float32":
                if dtype == "int8":
                    values, scale = to_int8(values)
                    target[_scale_of(name)] = scale
                else:
                    values = values.astype(dtype)
            target[name] = values

        _visit(source, target, copy)
    whole.unlink()


@contextlib.contextmanager
def expanded(path):
    """Give a file of weights in a form that Keras reads.

    Args:
        path: A `pathlib.Path` of an HDF5 file.

    Yields:
        The path itself, unless the file holds int8 kernels: then that of one
        that holds them as float32, for as long as the context lasts.

    Raises:
        OSError: If it is no HDF5 file.
    """
    import h5py

    with h5py.File(path, "r") as source:
        if _SCALES not in source:
            yield path
            return
        with tempfile.TemporaryDirectory() as folder:
            whole = pathlib.Path(folder) / path.name
            with h5py.File(whole, "w") as target:

                def copy(name, item):
                    scale = source.get(_scale_of(name))
                    values = item[()]
                    if scale is not None:
                        values = values * scale[()]
                    target[name] = values

                _visit(source, target, copy)
            yield whole


def _scale_of(name):
    # All in one group: each group takes a kilobyte.
    return f"{_SCALES}/{name.replace('/', '.')}"


def _visit(source, target, copy):
    """Call a function for every dataset; take over groups and attributes."""
    import h5py

    def visit(name, item):
        if name.split("/")[0] == _SCALES:
            return
        if isinstance(item, h5py.Group):
            target.require_group(name)
        else:
            copy(name, item)
        target[name].attrs.update(item.attrs)

    source.visititems(visit)
    target.attrs.update(source.attrs)


def to_int8(kernel):
    """Round a kernel to whole numbers, finely where its channels are small.

    Args:
        kernel: Float array of at least two axes. The last one longer than 1
            counts the output channels: of a depthwise kernel `(height, width,
            channels, 1)` the third.

    Returns:
        Int8 array of the same shape, values from -127 to 127, and the float32
        scale to multiply it by, which broadcasts to that shape.

    Example:
        >>> values, scale = to_int8(np.array([[0.5, 4.0], [-1.0, 2.0]]))
        >>> values.tolist()
        [[64, 127], [-127, 64]]
        >>> apart = values * scale - [[0.5, 4.0], [-1.0, 2.0]]
        >>> bool(np.abs(apart).max() < 0.02)
        True
    """
    longer = [axis for axis in range(kernel.ndim) if kernel.shape[axis] > 1]
    channels = longer[-1] if longer else kernel.ndim - 1
    others = tuple(axis for axis in range(kernel.ndim) if axis != channels)
    largest = np.abs(kernel).max(axis=others, keepdims=True)
    scale = np.where(largest, largest / 127, 1.0).astype("float32")
    return np.rint(kernel / scale).astype("int8"), scale
