"""Load weight files of earlier versions by the names of layers.

Keras addresses weights by the attributes and classes of layers, such as
`blocks/convolution_block_1/convolution/vars/0`, so a file no longer fits once
a class or an attribute has another name. Each group also records the name of
its layer. Joined along a path, those names have hardly changed.
"""

import contextlib
import pathlib
import re
import tempfile

_VARIABLES = "vars"
# Layer names that changed since format 1 of presets. An empty name is left
# out: that of a functional model whose layers are attributes now.
_RENAMED = {"network": "", "head": "", "perceptron_norm": "mlp_norm"}
# State of the optimizer of a compiled model, which is not rearranged.
_OPTIMIZER = re.compile(r"(^|/)optimizer/")
# A convolution had the name that its whole conv-norm block has now.
_CONVOLUTION = re.compile(r"(^|_)(conv|convolution)$")


@contextlib.contextmanager
def arranged(model, path):
    """Rearrange a weight file of an earlier version to fit a model.

    Args:
        model: A built `keras.Model`.
        path: `pathlib.Path` of an HDF5 file that Keras wrote.

    Yields:
        `path` itself if the model has the same layout, else the path of a
        temporary file with the same values in the model's layout, except
        for an optimizer's state, which is the model's own there.

    Raises:
        ValueError: If a weight is missing, left over, ambiguous or of another
            size.
        OSError: If it is not an HDF5 file.
    """
    import h5py

    with tempfile.TemporaryDirectory() as folder:
        fitting = pathlib.Path(folder) / "arranged.weights.h5"
        model.save_weights(fitting)
        with h5py.File(path, "r") as source, h5py.File(fitting, "a") as target:
            if set(_weights(source)) == set(_weights(target)):
                fitting = path
            else:
                _replace_values(target, source)
        yield fitting


def _replace_values(target, source):
    """Fill a file with the values of another one, matched by names."""
    places, found = _places(target, source), _places(source, target)
    missing, left_over = places.keys() - found, found.keys() - places
    if missing or left_over:
        raise ValueError(
            "The layers' names in the file must be those of the model. "
            f"Received: {sorted(map(_describe, left_over))} left over, "
            f"{sorted(map(_describe, missing))} missing"
        )
    for place, path in places.items():
        values, shape = source[found[place]], target[path].shape
        if not _is_same_shape(values.shape, shape):
            raise ValueError(
                f"The weight {_describe(place)} must have the shape {shape}. "
                f"Received: {values.shape}"
            )
        array, attributes = values[()].reshape(shape), dict(values.attrs)
        del target[path]
        target[path] = array
        target[path].attrs.update(attributes)


def _places(file, other):
    """Return a dict from the place of each weight to its path in a file.

    A place is a tuple: the path of the innermost layer that both files have
    at the same path, the joined names of the layers inside it, and the index
    of the weight.
    """
    names, other_names, places = _names(file), _names(other), {}
    for path in _weights(file):
        group, _, index = path.rpartition(f"{_VARIABLES}/")
        common, inner = "", []
        for layer in _layers(group.rstrip("/"), names):
            if not inner and _is_same(names[layer], other_names.get(layer)):
                common = layer
            else:
                inner.append(_RENAMED.get(names[layer], names[layer]))
        joined = "_".join(filter(None, inner))
        place = (common, _CONVOLUTION.sub("", joined), index)
        if place in places:
            raise ValueError(
                "The layers' names in the file must be distinct. "
                f"Received: {path} and {places[place]}"
            )
        places[place] = path
    return places


def _names(file):
    """Return a dict from the path of each layer in a file to its name."""
    names = {}

    def visit(path, item):
        layer, _, last = path.rpartition("/")
        if last == _VARIABLES and "name" in item.attrs:
            names[layer] = str(item.attrs["name"])

    file.visititems(visit)
    return names


def _weights(file):
    """Return the paths of all weights of layers in a file."""
    paths = []

    def visit(path, item):
        if hasattr(item, "shape") and not _OPTIMIZER.search(path):
            paths.append(path)

    file.visititems(visit)
    return paths


def _layers(path, names):
    """Return the paths of a layer and those around it, outermost first."""
    parts = path.split("/")
    prefixes = ("/".join(parts[: end + 1]) for end in range(len(parts)))
    return [prefix for prefix in prefixes if prefix and prefix in names]


def _is_same(name, other):
    """Compare names, without the numbers of those that Keras gave."""
    if other is None:
        return False
    return re.sub(r"_\d+$", "", name) == re.sub(r"_\d+$", "", other)


def _is_same_shape(shape, other):
    """Compare shapes, a 1x1 kernel being equal to its matrix."""
    return shape == other or (1, 1, *shape) == other or (1, 1, *other) == shape


def _describe(place):
    common, joined, index = place
    return f"{common}:{joined}/{index}"
