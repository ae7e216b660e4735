"""Palettes: one RGB color per class.

The reconstruction of masks depends on the palette: the larger its smallest
distance between two colors, the larger the errors of decoded colors may be
before classes are confused. Palettes are plain arrays, so any array of
distinct colors can be used.
"""

import difflib
import functools
import itertools
import json
import pathlib

import numpy as np

from gss_keras.maskige import packing

_FOLDER = pathlib.Path(__file__).parent
# Luma coefficients of red, green and blue from ITU-R BT.601.
_LUMA = np.array([0.299, 0.587, 0.114])


def named(name):
    """Return the standard palette of a data set.

    Args:
        name: One of `"cityscapes"`, `"ade20k"`, `"mseg"`, `"camvid"`.

    Returns:
        A float32 array `(num_classes, 3)` of RGB colors in 0-255.

    Raises:
        ValueError: If no palette has that name.

    Example:
        >>> named("camvid")[0].tolist()
        [128.0, 128.0, 128.0]
    """
    return np.array(_entry(name)["colors"], "float32")


def ignore_color(name):
    """Return the color of ignored pixels in a data set's color masks.

    Args:
        name: One of the names that `named` takes.

    Returns:
        A tuple of three integers in 0-255.

    Raises:
        ValueError: If no palette has that name.

    Example:
        >>> ignore_color("ade20k")
        (215, 216, 196)
    """
    return tuple(_entry(name)["ignore_color"])


def cityscapes():
    """Return the 19 colors of Cityscapes, float32 `(19, 3)`, 0-255."""
    return named("cityscapes")


def ade20k():
    """Return the release's colors for ADE20K, float32 `(150, 3)`, 0-255."""
    return named("ade20k")


def mseg():
    """Return the release's colors for MSeg, float32 `(194, 3)`, 0-255."""
    return named("mseg")


def camvid():
    """Return SegNet's colors for CamVid, float32 `(11, 3)`, 0-255.

    The classes are sky, building, pole, road, pavement, tree, sign, fence,
    car, pedestrian and bicyclist, in this order.
    """
    return named("camvid")


def random(num_classes, seed=0):
    """Sample distinct colors uniformly: the palette of FF-R.

    Args:
        num_classes: Integer of at least 1.
        seed: Integer; the same seed gives the same palette.

    Returns:
        A float32 array `(num_classes, 3)` of integers in 0-255.

    Raises:
        ValueError: If `num_classes` is not a positive integer.

    Example:
        >>> random(19, seed=1).shape
        (19, 3)
    """
    _check_count(num_classes)
    numbers = np.random.default_rng(seed).choice(
        256**3, size=num_classes, replace=False
    )
    channels = [numbers // 256**2, numbers // 256 % 256, numbers % 256]
    return np.stack(channels, axis=1).astype("float32")


def maximal_distance(num_classes, seed=0):
    """Return colors whose smallest pairwise distance is maximal.

    The set of colors depends only on the number of classes; the seed permutes
    it. So every seed has the largest known smallest distance, and a tokenizer
    sees the same colors for every seed. For up to 32 classes and for those of
    common data sets, the colors are stored results of a long search. For
    other counts they are searched for once per process, which takes seconds.

    Args:
        num_classes: Integer of at least 1.
        seed: Integer; the same seed gives the same palette.

    Returns:
        A float32 array `(num_classes, 3)` of RGB colors in 0-255.

    Raises:
        ValueError: If `num_classes` is not a positive integer.

    Reference:
        The maximal-distance colors of GSS-FF. Those of the release are color
        grids edited by hand, with smallest distances near 20; these reach 147
        for 19 classes, 60 for 150 and 56 for 194.

    Example:
        >>> round(smallest_distance(maximal_distance(8, seed=3)), 1)
        255.0
    """
    _check_count(num_classes)
    order = np.random.default_rng(seed).permutation(num_classes)
    return _unpermuted_colors(num_classes)[order]


def smallest_distance(palette):
    """Return the smallest RGB distance between two colors of a palette.

    Args:
        palette: Array `(num_classes, 3)` of colors in 0-255.

    Returns:
        A Python float in units of 0-255; infinity for a single color.

    Example:
        >>> round(smallest_distance(cityscapes()), 1)
        20.0
    """
    return packing.smallest_distance(palette)


def as_palette(palette):
    """Convert a name or an array to a palette, and validate it.

    Args:
        palette: A name that `named` takes, or an array-like
            `(num_classes, 3)` of distinct colors in 0-255.

    Returns:
        A new float32 array `(num_classes, 3)` in 0-255.

    Raises:
        ValueError: If the name is unknown, the shape is wrong, a value lies
            outside 0-255 or two colors are equal.

    Example:
        >>> as_palette([[0, 0, 0], [255, 0, 0]]).shape
        (2, 3)
    """
    if isinstance(palette, str):
        return named(palette)
    colors = as_numbers(palette, "palette")
    if colors.ndim != 2 or colors.shape[1] != 3 or not len(colors):
        raise ValueError(
            "`palette` must be an array `(num_classes, 3)` of RGB colors. "
            f"Received: an array of shape {colors.shape}"
        )
    if not np.all((colors >= 0) & (colors <= 255)):
        raise ValueError(
            "`palette` must have colors in 0-255. Received: values from "
            f"{colors.min()} to {colors.max()}"
        )
    _check_distinct(colors)
    return colors


def save(palette, path):
    """Save a palette to a JSON file.

    A use is to keep learned colors as the fixed palette of later models.

    Args:
        palette: Anything that `as_palette` accepts, such as
            `posterior.palette`.
        path: Path of the file. Missing parent folders are created.

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/colors.json"
        >>> save([[0, 0, 0], [255, 0, 0]], path)
        >>> load(path).tolist()
        [[0.0, 0.0, 0.0], [255.0, 0.0, 0.0]]
    """
    colors = np.round(as_palette(palette).astype("float64"), 3).tolist()
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"colors": colors}) + "\n", encoding="utf-8")


def load(path):
    """Load a palette from a JSON file written by `save`.

    Args:
        path: Path of the JSON file.

    Returns:
        A float32 array `(num_classes, 3)` in 0-255.

    Raises:
        ValueError: If the file is missing or does not contain a palette.
    """
    try:
        colors = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        return as_palette(colors["colors"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            "`path` must be a JSON file written by `palettes.save`. "
            f"Received: path={str(path)!r} ({error})"
        ) from error


def as_config(palette):
    """Convert a palette to its entry in a config.

    Args:
        palette: As for `as_palette`.

    Returns:
        The name, or the colors as nested lists of floats.
    """
    return palette if isinstance(palette, str) else as_palette(palette).tolist()


def as_numbers(values, argument):
    """Convert nested sequences of numbers to a new float32 array.

    Args:
        values: Array-like of numbers.
        argument: Name of the argument in error messages.

    Returns:
        A float32 array of the same shape.

    Raises:
        ValueError: If the values are not numbers, or the sequences are ragged.

    Example:
            >>> as_numbers([[1, 2]], "palette").dtype
            dtype('float32')
    """
    try:
        return np.array(values, "float32")
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`{argument}` must contain numbers only, and as many in every "
            f"row. Received: {argument}={values!r}"
        ) from error


def _check_distinct(colors):
    seen = {}
    for index, color in enumerate(colors.tolist()):
        other = seen.setdefault(tuple(color), index)
        if other != index:
            raise ValueError(
                "`palette` must have a different color for each class. "
                f"Received: {color} for both class {other} and class {index}"
            )


def _check_count(num_classes):
    is_integer = isinstance(num_classes, (int, np.integer))
    if not is_integer or isinstance(num_classes, bool) or num_classes < 1:
        raise ValueError(
            "`num_classes` must be a positive integer. "
            f"Received: num_classes={num_classes!r}"
        )


@functools.cache
def _stored(file_name):
    return json.loads((_FOLDER / file_name).read_text(encoding="utf-8"))


def _entry(name):
    entries = _stored("palettes.json")
    if name not in entries:
        nearest = difflib.get_close_matches(str(name), entries, n=1, cutoff=0)
        raise ValueError(
            f"`palette` must be one of {sorted(entries)} when it is a name; "
            f"did you mean {nearest[0]!r}? Received: palette={name!r}"
        )
    return entries[name]


@functools.cache
def _unpermuted_colors(num_classes):
    stored = _stored("packings.json").get(str(num_classes))
    if stored is None:
        stored = search_colors(num_classes)
    return np.array(stored, "float32")


def search_colors(num_classes, num_starts=None, seed=0):
    """Search for the colors of `maximal_distance`.

    Args:
        num_classes: Integer of at least 1.
        num_starts: Number of random starts, see `packing.spread_points`.
        seed: Integer; a search can be continued with other seeds.

    Returns:
        A float64 array `(num_classes, 3)` in 0-255, rounded to thousandths,
        in canonical order and orientation.

    Example:
            >>> search_colors(2).tolist()
            [[0.0, 0.0, 0.0], [255.0, 255.0, 255.0]]
    """
    if num_classes == 1:
        return np.full((1, 3), 255.0)
    points = packing.spread_points(num_classes, num_starts, seed)
    return _orient(np.round(255 * points, 3) + 0.0)


def _orient(colors):
    """Apply one of the 48 symmetries of the RGB cube, and sort the colors.

    All of them preserve distances. The one with the largest variance of luma
    is taken, so that classes also differ in grayscale; ties are resolved by
    the order of the sorted colors.
    """
    best = None
    for axes in itertools.permutations(range(3)):
        for flips in itertools.product((False, True), repeat=3):
            oriented = np.where(flips, 255 - colors, colors)[:, axes]
            oriented = sorted(np.round(oriented, 3).tolist())
            variance = np.round(np.var(oriented @ _LUMA), 1)
            if best is None or (-variance, oriented) < best:
                best = (-variance, oriented)
    return np.array(best[1])
