"""Evaluation protocols of the benchmarks behind the published scores."""

import functools

from gss_keras import data
from gss_keras.data import mseg
from gss_keras.inference.views import Views

_TEST_SET_PREFIX = "mseg-"


def open_sources(dataset, data_dir, split="val"):
    """Open the evaluation data of a benchmark.

    Args:
        dataset: Name of a data set in the catalog; `"mseg"` for its six test
            sets, which are in one folder.
        data_dir: See `gss_keras.data.load`.
        split: See `gss_keras.data.load`.

    Returns:
        A dict from catalog names to sources: six for MSeg, one otherwise.

    Raises:
        ValueError: For any reason that `gss_keras.data.load` raises it.
    """
    names = [dataset]
    if dataset == "mseg":
        names = [_TEST_SET_PREFIX + test_set for test_set in mseg.TEST_SETS]
    return {name: data.load(name, data_dir, split) for name in names}


def published_views(dataset, scales=(1.0,), flip=False):
    """Return the test-time views used for the published scores.

    Args:
        dataset: Name of a data set in the catalog. ADE20K and MSeg photos
            are resized to fit 2048 x 512, others keep their size.
        scales: See `Views`.
        flip: See `Views`.

    Returns:
        A `Views`.

    Example:
        >>> published_views("ade20k").fit
        (2048, 512)
    """
    is_resized = dataset in ("ade20k", "mseg") or dataset.startswith(
        _TEST_SET_PREFIX
    )
    return Views((2048, 512) if is_resized else None, scales, flip)


def maps_for(dataset, num_classes, of_probabilities=False):
    """Return the class mapping from a segmenter to an MSeg test set.

    Args:
        dataset: Name of a data set in the catalog.
        num_classes: Number of predicted classes; 194 means the universal
            classes of MSeg.
        of_probabilities: Whether to sum the probabilities of universal
            classes before taking the argmax. The published scores map the
            argmax over the universal classes instead.

    Returns:
        A dict of keyword arguments for `evaluate`; empty if no mapping is
        needed or known.
    """
    is_universal = num_classes == len(mseg.UNIVERSAL_CLASSES)
    if not (is_universal and dataset.startswith(_TEST_SET_PREFIX)):
        return {}
    name, function = "map_mask", mseg.map_predictions
    if of_probabilities:
        name, function = "map_probabilities", mseg.map_probabilities
    test_set = dataset.removeprefix(_TEST_SET_PREFIX)
    return {name: functools.partial(function, test_set=test_set)}
