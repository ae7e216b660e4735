"""The 194 universal classes of MSeg, and the way to them and from them.

Training masks of every set are brought to the universal classes; universal
predictions are brought to the classes of a test set. `taxonomy.json` holds
both ways, made by `make_taxonomy.py` from MSeg's own tables.

Reference: Lambert, Liu, Sener, Hays, Koltun, "MSeg: A composite dataset for
multi-domain semantic segmentation", CVPR 2020.
"""

import difflib
import json
from pathlib import Path

import numpy as np
from keras import ops

from gss_keras.data.mseg.make_taxonomy import TEST_SETS, TRAINING_SETS
from gss_keras.maskige.mapping import IGNORE_LABEL

_TABLES = json.loads(
    Path(__file__).with_name("taxonomy.json").read_text(encoding="utf-8")
)

UNIVERSAL_CLASSES = tuple(_TABLES["universal"])


def class_names(data_set):
    """Return the class names of a data set in the order of its file ids.

    Args:
        data_set: One of `TRAINING_SETS` or `TEST_SETS`, or `"universal"`.

    Returns:
        A tuple of strings.

    Raises:
        ValueError: If there is no such data set.

    Example:
        >>> class_names("camvid-11")[:3]
        ('Building', 'Tree', 'Sky')
    """
    if data_set == "universal":
        return UNIVERSAL_CLASSES
    _check_name("data_set", data_set, TRAINING_SETS + TEST_SETS)
    return tuple(_TABLES["classes"][data_set])


def to_universal(training_set):
    """Return which universal class each id in a training set's files means.

    Every class of the seven relabeled sets is one universal class, so nothing
    is lost on the way: relabeling by hand has split the classes that were too
    wide. Pixels whose class has no universal one are 255 in the files already.

    Args:
        training_set: One of `TRAINING_SETS`.

    Returns:
        int32 array `(65536,)`: universal ids in `[0, 194)` for ids of classes,
        255 for 255, unlabeled, and -1 for ids that no file may hold; the form
        that `gss_keras.data.PairedFiles` takes.

    Raises:
        ValueError: If there is no such training set.

    Example:
        >>> UNIVERSAL_CLASSES[to_universal("idd-39-relabeled")[19]]
        'road'
    """
    _check_name("training_set", training_set, TRAINING_SETS)
    ids = _TABLES["to_universal"][training_set]
    table = np.full(65536, -1, "int32")
    table[: len(ids)] = ids
    table[IGNORE_LABEL] = IGNORE_LABEL
    return table


def universal_matrix(test_set):
    """Return which universal classes each class of a test set takes in.

    Args:
        test_set: One of `TEST_SETS`.

    Returns:
        float32 array `(194, num_classes)` of zeros and ones. A row has at
        most one 1; rows without any belong to universal classes that the test
        set knows nothing of. Columns without any, `"flower"` and `"wood"` of
        PASCAL Context, belong to classes that are never predicted and lower
        the mean IoU of everyone.

    Raises:
        ValueError: If there is no such test set.

    Example:
        >>> bus = UNIVERSAL_CLASSES.index("bus")
        >>> class_names("kitti-19")[universal_matrix("kitti-19")[bus].argmax()]
        'bus'
    """
    _check_name("test_set", test_set, TEST_SETS)
    takes_in = _TABLES["takes_in"][test_set]
    matrix = np.zeros((len(UNIVERSAL_CLASSES), len(takes_in)), "float32")
    for index, taken in enumerate(takes_in):
        matrix[taken, index] = 1
    return matrix


def universal_to(test_set, unmapped=0):
    """Return the class of a test set for each universal class.

    Args:
        test_set: One of `TEST_SETS`.
        unmapped: Id for universal classes that no class of the test set
            takes in, such as a bridge in KITTI; there are none in VOC 2012
            and PASCAL Context, whose background takes in the rest. The
            published protocol multiplies the one-hot prediction with
            `universal_matrix` and takes the argmax, of nothing but zeros here:
            class 0 (`"road"`, `"Building"`, `"bathtub"`) gets those pixels.
            With 255 they are none of the classes: still wrong wherever
            truth is known, but no false positives of class 0. Count with
            `gss_keras.metrics.confusion_matrix` then.

    Returns:
        int32 array `(194,)`, ids of the test set's classes or `unmapped`.

    Raises:
        ValueError: If there is no such test set.

    Example:
        >>> bridge = UNIVERSAL_CLASSES.index("bridge")
        >>> [int(universal_to("kitti-19", value)[bridge]) for value in (0, 255)]
        [0, 255]
    """
    matrix = universal_matrix(test_set)
    table = np.where(matrix.any(axis=1), matrix.argmax(axis=1), unmapped)
    return table.astype("int32")


def map_predictions(predictions, test_set, unmapped=0):
    """Bring predicted universal classes to the classes of a test set.

    The published numbers came about this way, from the argmax over the 194
    classes.

    Args:
        predictions: int array or tensor of any shape, ids in `[0, 194)`.
        test_set: One of `TEST_SETS`.
        unmapped: As for `universal_to`.

    Returns:
        int32 of the same shape, ids of the test set's classes or `unmapped`;
        a NumPy array for a NumPy array, else a tensor.

    Raises:
        ValueError: If there is no such test set, or if a NumPy array holds
            other ids.

    Example:
        >>> couch = UNIVERSAL_CLASSES.index("couch")
        >>> class_names("voc2012")[map_predictions(np.array(couch), "voc2012")]
        'sofa'
    """
    table = universal_to(test_set, unmapped)
    if not isinstance(predictions, np.ndarray):
        return ops.take(table, predictions, axis=0)
    outside = (predictions < 0) | (predictions >= len(table))
    if outside.any():
        raise ValueError(
            f"`predictions` must be ids from 0 to {len(table) - 1} of the "
            "universal classes. Received: "
            f"{', '.join(map(str, np.unique(predictions[outside])[:8]))}"
        )
    return table[predictions]


def map_probabilities(probabilities, test_set):
    """Bring probabilities of universal classes to the classes of a test set.

    A class gets the sum over the universal classes that it takes in, as MSeg
    itself evaluates. That favors classes that take in many, `"background"` of
    VOC 2012 above all, and needs probabilities that mean something: votes of
    the free inverse do not.

    Args:
        probabilities: Float array or tensor `(..., 194)`, not negative.
        test_set: One of `TEST_SETS`.

    Returns:
        Float tensor `(..., num_classes)`. Its argmax is the prediction.

    Raises:
        ValueError: If there is no such test set, or if the last axis is not
            that of the universal classes.

    Example:
        >>> even = np.full((2, 3, 194), 1 / 194, "float32")
        >>> tuple(map_probabilities(even, "camvid-11").shape)
        (2, 3, 11)
    """
    matrix = universal_matrix(test_set)
    probabilities = ops.convert_to_tensor(probabilities)
    if probabilities.shape[-1] != len(matrix):
        raise ValueError(
            f"`probabilities` must have a last axis of {len(matrix)}, one for "
            "each universal class. Received: "
            f"probabilities.shape={tuple(probabilities.shape)}"
        )
    return ops.matmul(probabilities, ops.cast(matrix, probabilities.dtype))


def _check_name(argument, name, names):
    """Raise unless a data set has this name."""
    if name in names:
        return
    near = [known for known in names if str(name) in known]
    near = near or difflib.get_close_matches(str(name), names, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"`{argument}` must be one of {', '.join(names)}. Received: "
        f"{argument}={name!r}.{hint}"
    )
