"""The 194 universal classes of MSeg and the mappings to and from them.

Training masks of all data sets are mapped to the universal classes; universal
predictions are mapped to the classes of a test set. `taxonomy.json` contains
both mappings; `make_taxonomy.py` creates it from MSeg's own tables.

Reference: Lambert, Liu, Sener, Hays, Koltun, "MSeg: A composite dataset for
multi-domain semantic segmentation", CVPR 2020.
"""

import difflib
import json
from pathlib import Path

import numpy as np
from keras import ops

from gss_keras.constants import IGNORE_LABEL
from gss_keras.data.mseg.make_taxonomy import TEST_SETS, TRAINING_SETS

_TABLES = json.loads(
    Path(__file__).with_name("taxonomy.json").read_text(encoding="utf-8")
)

UNIVERSAL_CLASSES = tuple(_TABLES["universal"])


def class_names(data_set):
    """Return the class names of a data set in the order of its label ids.

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
    """Return the lookup table from a training set's ids to universal ids.

    Every class of the seven relabeled data sets is one universal class, so the
    mapping is lossless: MSeg split the broader classes by relabeling. Pixels
    without a universal class are already 255 in the files.

    Args:
        training_set: One of `TRAINING_SETS`.

    Returns:
        int32 array `(65536,)`: universal ids in `[0, 194)` for class ids, 255
        for id 255 (unlabeled), and -1 for invalid ids; the `ids` argument of
        `gss_keras.data.PairedFiles`.

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
    """Return the binary membership matrix of a test set's classes.

    Args:
        test_set: One of `TEST_SETS`.

    Returns:
        float32 array `(194, num_classes)`: 1 where a universal class belongs
        to a class of the test set, else 0. A row has at most one 1; all-zero
        rows are universal classes that the test set lacks. All-zero columns,
        `"flower"` and `"wood"` of PASCAL Context, are classes that are never
        predicted and lower the mean IoU of every model.

    Raises:
        ValueError: If there is no such test set.

    Example:
        >>> bus = UNIVERSAL_CLASSES.index("bus")
        >>> class_names("kitti-19")[universal_matrix("kitti-19")[bus].argmax()]
        'bus'
    """
    _check_name("test_set", test_set, TEST_SETS)
    members = _TABLES["takes_in"][test_set]
    matrix = np.zeros((len(UNIVERSAL_CLASSES), len(members)), "float32")
    for index, universal_ids in enumerate(members):
        matrix[universal_ids, index] = 1
    return matrix


def universal_to(test_set, unmapped=0):
    """Return the lookup table from universal ids to a test set's class ids.

    Args:
        test_set: One of `TEST_SETS`.
        unmapped: Id for universal classes that belong to no class of the test
            set, such as a bridge in KITTI. VOC 2012 and PASCAL Context have
            none, since their background includes the rest. The published
            protocol multiplies the one-hot prediction with `universal_matrix`
            and takes the argmax, here of an all-zero row, which assigns those
            pixels to class 0 (`"road"`, `"Building"`, `"bathtub"`). With 255
            they belong to no class: still errors at labeled pixels, but no
            false positives of class 0. Use
            `gss_keras.metrics.confusion_matrix` in that case.

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
    """Map predicted universal ids to the class ids of a test set.

    The published scores map the argmax over the 194 classes this way.

    Args:
        predictions: int array or tensor of any shape, ids in `[0, 194)`.
        test_set: One of `TEST_SETS`.
        unmapped: See `universal_to`.

    Returns:
        int32 of the same shape, ids of the test set's classes or `unmapped`;
        a NumPy array for a NumPy array, else a tensor.

    Raises:
        ValueError: If there is no such test set, or if a NumPy array contains
            ids out of range.

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
            f"`predictions` must be universal ids from 0 to {len(table) - 1}. "
            "Received: "
            f"{', '.join(map(str, np.unique(predictions[outside])[:8]))}"
        )
    return table[predictions]


def map_probabilities(probabilities, test_set):
    """Map probabilities of universal classes to those of a test set's classes.

    Sums the probabilities of all universal classes that belong to a class, as
    MSeg itself evaluates. This favors classes with many members, above all
    `"background"` of VOC 2012, and requires calibrated probabilities, which
    the votes of the training-free inverse mapping are not.

    Args:
        probabilities: Float array or tensor `(..., 194)`, not negative.
        test_set: One of `TEST_SETS`.

    Returns:
        Float tensor `(..., num_classes)`. Its argmax is the prediction.

    Raises:
        ValueError: If there is no such test set, or if the last axis does not
            have 194 entries.

    Example:
        >>> uniform = np.full((2, 3, 194), 1 / 194, "float32")
        >>> tuple(map_probabilities(uniform, "camvid-11").shape)
        (2, 3, 11)
    """
    matrix = universal_matrix(test_set)
    probabilities = ops.convert_to_tensor(probabilities)
    if probabilities.shape[-1] != len(matrix):
        raise ValueError(
            f"`probabilities` must have a last axis of {len(matrix)} entries, "
            "one for each universal class. Received: "
            f"probabilities.shape={tuple(probabilities.shape)}"
        )
    return ops.matmul(probabilities, ops.cast(matrix, probabilities.dtype))


def _check_name(argument, name, names):
    """Raise ValueError unless a name is known."""
    if name in names:
        return
    near = [known for known in names if str(name) in known]
    near = near or difflib.get_close_matches(str(name), names, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"`{argument}` must be one of {', '.join(names)}. Received: "
        f"{argument}={name!r}.{hint}"
    )
