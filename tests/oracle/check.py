"""Comparison of golden files with the outputs of the reference models."""

import json
import pathlib

import numpy as np
import torch

from tests.oracle import outputs
from tests.oracle.models import KINDS, build
from tests.oracle.weights import load

# For each array of indices, the margin between its best two scores.
_MARGINS = {
    "vq_indices": "vq_margin",
    "enc_indices": "enc_margin",
    "class_map": "sqdist_margin",
    "target_indices_masked": "target_enc_margin",
    "target_indices_full": "target_enc_margin",
    "filled_label_map": "pixel_logit_margin",
}
# Tolerances for rounding errors in float arrays: root mean square and maximum
# difference in standard deviations, about those between float32 and float64.
_ROUNDING = 1e-5, 5e-5


def check(folder):
    """Check every golden file of a folder and return the exit status."""
    print(
        f"{'file':<28}{'arrays':<24}{'count':>4} {'max':>8} {'rms':>8} "
        f"{'indices':>7}  (float differences in standard deviations; number "
        "of unequal indices)"
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
    """Print the differences between a golden file and the model's outputs.

    Args:
        path: A golden file.

    Returns:
        Whether all differences are within the rounding tolerances; None if
        the file is no golden file.
    """
    stem = pathlib.Path(path).stem
    kind = next((kind for kind in KINDS if stem.startswith(kind)), None)
    if kind is None:
        return None
    state, inputs, stored, meta = _read(path)
    module = build(kind, meta)
    load(module, state)
    inputs = {name: torch.from_numpy(inputs[name]) for name in inputs}
    computed = outputs.compute(kind, module, inputs, meta)
    groups = {}
    for name in stored:
        row = _differences(name, computed[name].numpy(), stored)
        groups.setdefault(name.rsplit("/", 1)[0], []).append(row)
    for group, rows in groups.items():
        maxima, rms, unequal, passes = zip(*rows, strict=True)
        print(
            f"{stem:<28}{group[:24]:<25}{len(rows):>3} "
            f"{max(maxima):>8.1e} {max(rms):>8.1e} {sum(unequal):>7} "
            f"{'pass' if all(passes) else 'FAIL'}"
        )
    return all(row[-1] for rows in groups.values() for row in rows)


def _read(path):
    """Read weights, inputs, outputs and configuration of a golden file."""
    with np.load(path) as arrays:
        stored = {name: arrays[name] for name in arrays.files}
    meta = json.loads(str(stored.pop("meta")))
    parts = (
        {n[len(part) :]: stored[n] for n in stored if n.startswith(part)}
        for part in ("sd/", "in/", "out/")
    )
    return *parts, meta


def _differences(name, computed, stored):
    """Return maximum, RMS difference, number of unequal indices, verdict."""
    expected = stored[name]
    computed = computed.reshape(expected.shape)
    if expected.dtype == np.int32:
        unequal = computed != expected
        return 0, 0, unequal.sum(), _are_ties(name, unequal, stored)
    difference = np.abs(computed.astype("float64") - expected)
    # Scalars have no standard deviation; margins are relative to that of
    # their logits.
    scores = stored.get(name.replace("_margin", "_logits"), expected)
    difference /= scores.std() if expected.size > 1 else max(expected.item(), 1)
    rms, maximum = np.sqrt(np.mean(difference**2)), difference.max()
    is_close = rms <= _ROUNDING[0] and maximum <= _ROUNDING[1]
    if name.endswith(("whole/logits", "slide/logits")):
        # A different token at a near tie changes the logits of its block.
        is_close = np.mean(difference > _ROUNDING[1]) <= 0.005
    return maximum, rms, 0, is_close


def _are_ties(name, unequal, stored):
    """Return whether indices differ only at near ties of two scores."""
    group, _, leaf = name.rpartition("/")
    if leaf == "pred":
        return unequal.mean() <= 0.005
    margin = stored.get(f"{group}/{_MARGINS.get(leaf)}")
    if margin is None:
        return not unequal.any()
    tie = 2.0 if leaf == "class_map" else 1e-3 * margin.std()
    return not (unequal.reshape(margin.shape) & (margin > tie)).any()
