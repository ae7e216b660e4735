"""How the benchmarks behind the published scores evaluate."""

import functools

from gss_keras import data
from gss_keras.data import mseg
from gss_keras.inference.views import Views

_TEST_SET = "mseg-"


def open_sources(dataset, data_dir, split="val"):
    """Open what a benchmark evaluates on.

    Args:
        dataset: Name of a data set of the catalog; `"mseg"` for its six test
            sets, which are in one folder.
        data_dir: As for `gss_keras.data.load`.
        split: As for `gss_keras.data.load`.

    Returns:
        A dict from names of the catalog to sources: one, but for MSeg.

    Raises:
        ValueError: As `gss_keras.data.load` does.
    """
    names = [dataset]
    if dataset == "mseg":
        names = [_TEST_SET + test_set for test_set in mseg.TEST_SETS]
    return {name: data.load(name, data_dir, split) for name in names}


def published_views(dataset, scales=(1.0,), flip=False):
    """Return in which size the published scores of a data set see photos.

    Args:
        dataset: Name of a data set of the catalog.
        scales: As for `Views`.
        flip: As for `Views`.

    Returns:
        A `Views`.

    Example:
        >>> published_views("ade20k").fit
        (2048, 512)
    """
    is_fitted = dataset in ("ade20k", "mseg") or dataset.startswith(_TEST_SET)
    return Views((2048, 512) if is_fitted else None, scales, flip)


def maps_for(dataset, num_classes, of_probabilities=False):
    """Say how predicted classes become those of a data set.

    Args:
        dataset: Name of a data set of the catalog.
        num_classes: Number of classes that are predicted: 194 are the
            universal classes of MSeg.
        of_probabilities: Whether probabilities of universal classes are added
            up before the likeliest class is taken. The published scores map
            the likeliest universal class instead.

    Returns:
        A dict of the `maps` that `evaluate` takes, empty where the classes
        are the same or nothing is known of them.
    """
    is_universal = num_classes == len(mseg.UNIVERSAL_CLASSES)
    if not (is_universal and dataset.startswith(_TEST_SET)):
        return {}
    name, function = "map_mask", mseg.map_predictions
    if of_probabilities:
        name, function = "map_probabilities", mseg.map_probabilities
    test_set = dataset.removeprefix(_TEST_SET)
    return {name: functools.partial(function, test_set=test_set)}
