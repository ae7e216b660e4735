"""Colors of the classes: one row of RGB per class.

A palette decides how well a mask survives being an image: the further apart
its closest two colors, the more the tokenizer may blur before classes are
mistaken. Palettes are plain arrays, so any other one may be used instead.
"""

import difflib
import functools
import itertools
import json
import pathlib

import numpy as np

from gss_keras.maskige import packing

_FOLDER = pathlib.Path(__file__).parent
# The ITU-R BT.601 weights of red, green and blue in perceived brightness.
_LUMA = np.array([0.299, 0.587, 0.114])


def named(name):
    """Looks a dataset's usual palette up.

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
    """Looks up the color in which a dataset paints ignored pixels.

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
    """Returns the 19 usual colors of Cityscapes, float32, 0-255."""
    return named("cityscapes")


def ade20k():
    """Returns the release's 150 colors for ADE20K, float32, 0-255."""
    return named("ade20k")


def mseg():
    """Returns the release's 194 colors for MSeg, float32, 0-255."""
    return named("mseg")


def camvid():
    """Returns SegNet's 11 colors for CamVid, float32, 0-255.

    The classes are sky, building, pole, road, pavement, tree, sign, fence,
    car, pedestrian and bicyclist, in this order.
    """
    return named("camvid")


def random(num_classes, seed=0):
    """Draws distinct colors uniformly: the palette of FF-R.

    Args:
        num_classes: Integer of at least 1.
        seed: Integer; the same seed gives the same palette.

    Returns:
        A float32 array `(num_classes, 3)` of whole numbers in 0-255.

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
    """Chooses colors whose smallest distance is as large as possible.

    The set of colors depends on the number of classes alone; the seed
    decides which class gets which color. So every seed reaches the best
    distance known, and a tokenizer meets the same colors whatever the seed.
    For all counts up to 32 and those of common datasets the colors are
    stored, found by a longer search; for others they are searched for,
    which takes seconds once.

    Args:
        num_classes: Integer of at least 1.
        seed: Integer; the same seed gives the same palette.

    Returns:
        A float32 array `(num_classes, 3)` of RGB colors in 0-255.

    Raises:
        ValueError: If `num_classes` is not a positive integer.

    Reference:
        The maximal-distance colors of GSS-FF. The release's are color grids
        edited by hand, whose smallest distances are near 20; these reach
        147 for 19 classes, 60 for 150 and 56 for 194.

    Example:
        >>> round(smallest_distance(maximal_distance(8, seed=3)), 1)
        255.0
    """
    _check_count(num_classes)
    order = np.random.default_rng(seed).permutation(num_classes)
    return _spread_colors(num_classes)[order]


def smallest_distance(palette):
    """Measures the RGB distance of the closest two colors of a palette.

    Args:
        palette: Array `(num_classes, 3)` of colors in 0-255.

    Returns:
        A Python float in 0-255 units; infinity for a single color.

    Example:
        >>> round(smallest_distance(cityscapes()), 1)
        20.0
    """
    return packing.smallest_distance(palette)


def as_palette(palette):
    """Turns a name or an array into a checked palette.

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
            "`palette` must hold colors in 0-255. Received: values from "
            f"{colors.min()} to {colors.max()}"
        )
    _check_distinct(colors)
    return colors


def save(palette, path):
    """Writes a palette to a JSON file, to be used as a fixed one later.

    Args:
        palette: As in `as_palette`, such as `posterior.palette` of learned
            colors.
        path: Path of the file; its folder is made.

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
    """Reads a palette that `save` wrote.

    Args:
        path: Path of the JSON file.

    Returns:
        A float32 array `(num_classes, 3)` in 0-255.

    Raises:
        ValueError: If the file is missing or holds no palette.
    """
    try:
        colors = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        return as_palette(colors["colors"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            "`path` must be a JSON file that `palettes.save` wrote. "
            f"Received: path={str(path)!r} ({error})"
        ) from error


def as_config(palette):
    """Turns a palette into what a configuration holds of it.

    Args:
        palette: As in `as_palette`.

    Returns:
        A name as it is, an array as a list of colors.
    """
    return palette if isinstance(palette, str) else as_palette(palette).tolist()


def as_numbers(values, argument):
    """Turns nested sequences of numbers into a new float32 array.

    Args:
        values: Array-like of numbers.
        argument: Name that an error gives to the values.

    Returns:
        A float32 array of the same shape.

    Raises:
        ValueError: If the values are no numbers or of uneven lengths.

    Example:
            >>> as_numbers([[1, 2]], "palette").dtype
            dtype('float32')
    """
    try:
        return np.array(values, "float32")
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`{argument}` must hold numbers only, the same count in every "
            f"row. Received: {argument}={values!r}"
        ) from error


def _check_distinct(colors):
    seen = {}
    for index, color in enumerate(colors.tolist()):
        other = seen.setdefault(tuple(color), index)
        if other != index:
            raise ValueError(
                "`palette` must give each class a color of its own. "
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
        near = difflib.get_close_matches(str(name), entries, n=1, cutoff=0)
        raise ValueError(
            f"`palette` must be one of {sorted(entries)} when it is a name; "
            f"did you mean {near[0]!r}? Received: palette={name!r}"
        )
    return entries[name]


@functools.cache
def _spread_colors(num_classes):
    stored = _stored("packings.json").get(str(num_classes))
    if stored is None:
        stored = search_colors(num_classes)
    return np.array(stored, "float32")


def search_colors(num_classes, num_starts=None, seed=0):
    """Searches for the colors that `maximal_distance` hands out.

    Args:
        num_classes: Integer of at least 1.
        num_starts: Number of random starts, see `packing.spread_points`.
        seed: Integer, for longer searches in several rounds.

    Returns:
        A float64 array `(num_classes, 3)` in 0-255, rounded to thousandths
        and put in a fixed order and orientation.

    Example:
            >>> search_colors(2).tolist()
            [[0.0, 0.0, 0.0], [255.0, 255.0, 255.0]]
    """
    if num_classes == 1:
        return np.full((1, 3), 255.0)
    points = packing.spread_points(num_classes, num_starts, seed)
    return _orient(np.round(255 * points, 3) + 0.0)


def _orient(colors):
    """Chooses one of the 48 symmetries of the cube.

    All have the same distances. The one whose brightness varies most is
    taken, so that classes differ in a black-and-white print too; among equal
    ones the first in order of the sorted colors.
    """
    best = None
    for axes in itertools.permutations(range(3)):
        for flips in itertools.product((False, True), repeat=3):
            turned = np.where(flips, 255 - colors, colors)[:, axes]
            turned = sorted(np.round(turned, 3).tolist())
            spread = np.round(np.var(turned @ _LUMA), 1)
            if best is None or (-spread, turned) < best:
                best = (-spread, turned)
    return np.array(best[1])
