"""Checks of choices, such as tokens or classes, against their scores."""

import numpy as np


def check_best(choices, scores, tolerance=1e-4):
    """Check that each choice has the best score, up to rounding.

    Where two scores differ by no more than rounding errors, the processor
    decides which one is larger, so choices cannot be compared with the
    argmax.

    Args:
        choices: Int array `(...)`.
        scores: Float array `(..., options)`.
        tolerance: Largest difference to the best score, relative to the
            standard deviation of all scores.
    """
    scores = np.asarray(scores, "float64")
    assert choices.shape == scores.shape[:-1]
    chosen = np.take_along_axis(scores, choices[..., None], axis=-1)[..., 0]
    gaps = scores.max(axis=-1) - chosen
    assert gaps.max() <= tolerance * scores.std()
