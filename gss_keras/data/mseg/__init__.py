"""MSeg: seven training sets with 194 universal classes, six test sets."""

from gss_keras.data.mseg.evaluation_sets import MSegTestSet
from gss_keras.data.mseg.taxonomy import (
    TEST_SETS,
    TRAINING_SETS,
    UNIVERSAL_CLASSES,
    class_names,
    map_predictions,
    map_probabilities,
    to_universal,
    universal_matrix,
    universal_to,
)
from gss_keras.data.mseg.training_sets import REPEATS, MSeg, MSegTrainingSet

__all__ = [
    "REPEATS",
    "TEST_SETS",
    "TRAINING_SETS",
    "UNIVERSAL_CLASSES",
    "MSeg",
    "MSegTestSet",
    "MSegTrainingSet",
    "class_names",
    "map_predictions",
    "map_probabilities",
    "to_universal",
    "universal_matrix",
    "universal_to",
]
