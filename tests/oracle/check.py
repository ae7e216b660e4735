"""Comparison of golden files with what the models answer."""

import json
import pathlib

import numpy as np
import torch

from tests.oracle import outputs
from tests.oracle.models import KINDS, build
from tests.oracle.weights import load

# The margin that says how far an index array is from a tie.
_MARGINS = {
    "vq_indices": "vq_margin",
    "enc_indices": "enc_margin",
    "class_map": "sqdist_margin",
    "target_indices_masked": "target_enc_margin",
    "target_indices_full": "target_enc_margin",
    "filled_label_map": "pixel_logit_margin",
}
# Float arrays may differ by rounding: root mean square and largest difference
# in standard deviations. Single precision itself is as far from double.
_ROUNDING = 1e-5, 5e-5


def check(folder):
    """Checks every golden file of a folder; returns the exit status."""
    print(
        f"{'file':<28}{'arrays':<24}{'count':>4} {'largest':>8} {'mean':>8} "
        f"{'apart':>6}  (float differences in deviations; unequal indices)"
    )
    verdicts = {
        path.stem: check_file(path)
        for path in sorted(pathlib.Path(folder).glob("*.npz"))
    }
    failed = [name for name in verdicts if verdicts[name] is False]
    passed = sum(verdict is True for verdict in verdicts.values())
    print(f"{passed} files pass, {len(failed)} fail {', '.join(failed)}")
    return int(bool(failed) or not passed)


def check_file(path):
    """Prints how far a golden file's arrays are from the models' answers.

    Args:
        path: A golden file.

    Returns:
        Whether all are as close as rounding allows; None for other files.
    """
    stem = pathlib.Path(path).stem
    kind = next((kind for kind in KINDS if stem.startswith(kind)), None)
    if kind is None:
        return None
    state, inputs, stored, meta = _read(path)
    module = build(kind, meta)
    load(module, state)
    inputs = {name: torch.from_numpy(inputs[name]) for name in inputs}
    answers = outputs.compute(kind, module, inputs, meta)
    groups = {}
    for name in stored:
        row = _differences(name, answers[name].numpy(), stored)
        groups.setdefault(name.rsplit("/", 1)[0], []).append(row)
    for group, rows in groups.items():
        largest, mean, unequal, passes = zip(*rows, strict=True)
        print(
            f"{stem:<28}{group[:24]:<25}{len(rows):>3} "
            f"{max(largest):>8.1e} {max(mean):>8.1e} {sum(unequal):>6} "
            f"{'pass' if all(passes) else 'FAIL'}"
        )
    return all(row[-1] for rows in groups.values() for row in rows)


def _read(path):
    """Gives weights, inputs, outputs and configuration of a golden file."""
    with np.load(path) as arrays:
        stored = {name: arrays[name] for name in arrays.files}
    meta = json.loads(str(stored.pop("meta")))
    parts = (
        {n[len(part) :]: stored[n] for n in stored if n.startswith(part)}
        for part in ("sd/", "in/", "out/")
    )
    return *parts, meta


def _differences(name, answer, stored):
    """Gives largest, mean difference, unequal indices and the verdict."""
    expected = stored[name]
    answer = answer.reshape(expected.shape)
    if expected.dtype == np.int32:
        unequal = answer != expected
        return 0, 0, unequal.sum(), _are_ties(name, unequal, stored)
    apart = np.abs(answer.astype("float64") - expected)
    # Single numbers have no deviation; the one of margins is their scores'.
    scores = stored.get(name.replace("_margin", "_logits"), expected)
    apart /= scores.std() if expected.size > 1 else max(expected.item(), 1)
    mean, largest = np.sqrt(np.mean(apart**2)), apart.max()
    is_close = mean <= _ROUNDING[0] and largest <= _ROUNDING[1]
    if name.endswith(("whole/logits", "slide/logits")):
        # A token near a tie moves the votes of its whole block.
        is_close = np.mean(apart > _ROUNDING[1]) <= 0.005
    return largest, mean, 0, is_close


def _are_ties(name, unequal, stored):
    """Whether indices are unequal only where two choices all but tie."""
    group, _, leaf = name.rpartition("/")
    if leaf == "pred":
        return unequal.mean() <= 0.005
    margin = stored.get(f"{group}/{_MARGINS.get(leaf)}")
    if margin is None:
        return not unequal.any()
    near = 2.0 if leaf == "class_map" else 1e-3 * margin.std()
    return not (unequal.reshape(margin.shape) & (margin > near)).any()
