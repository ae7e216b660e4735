"""What fewer bits cost and save: masks, time, memory and file.

Each photo is predicted by all of them in turns, so that what else the machine
does slows all alike; a first photo, which compiles, is not timed. Seconds are
the processor's, with all threads of the process. Memory is what predicting
one photo adds at most, in a process of its own. A line for each photo tells
how far it is: on PyTorch, bfloat16 takes a CPU without units for it about 12
times as long as float32, so take few photos there, or leave rows out.

    KERAS_BACKEND=tensorflow python benchmarks/precision.py \
        --camvid CamVid --photos 30
    KERAS_BACKEND=torch python benchmarks/precision.py --camvid CamVid \
        --photos 4 --rows float32 float16 "int8 stored"
"""

import dataclasses
import pathlib
import sys
import tempfile
import time
import warnings

import numpy as np
import tyro
from measuring import in_new_process, peak_gigabytes

from gss_keras import GenerativeSegmenter, data
from gss_keras.models.metrics import confusion_matrix, mean_iou

# How weights are stored, and what is computed in.
ROWS = {
    "float32": ("float32", "float32"),
    "bfloat16": ("float16", "bfloat16"),
    "float16": ("float16", "float16"),
    "int8 stored": ("int8", "float32"),
    "int8 stored, bfloat16": ("int8", "bfloat16"),
    "int8 products of Keras": ("float32", "quantize"),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to measure."""

    camvid: pathlib.Path
    """CamVid in the layout of the SegNet tutorial."""
    photos: int = 30
    """Number of val photos, evenly spread."""
    rows: tuple[str, ...] = tuple(ROWS)
    """Which rows; the first one is what the others are compared with."""
    preset: str = "camvid"


def load(row, folder):
    """Load a row's segmenter out of the folder of its preset."""
    stored, computed = ROWS[row]
    is_quantized = computed == "quantize"
    segmenter = GenerativeSegmenter.from_preset(
        folder / stored, dtype="float32" if is_quantized else computed
    )
    if is_quantized:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one for each layer it leaves
            segmenter.prior.quantize("int8")
    return segmenter


def added(row, folder, photo):
    """Return the gigabytes that predicting a photo adds at most."""
    segmenter = load(row, folder)
    segmenter.predict(photo[:32, :32])  # starts up
    return peak_gigabytes(lambda: segmenter.predict(photo))


def compare(segmenters, photos, masks, num_classes):
    """Predict photos in turns.

    Returns:
        Dicts by row: confusion matrices, mean processor seconds of a photo,
        and the share of pixels that equal the first row's.
    """
    confusion = dict.fromkeys(segmenters, 0)
    seconds, equal = dict.fromkeys(segmenters, 0.0), {}
    for segmenter in segmenters.values():
        segmenter.predict(photos[0])
    for number, photo in enumerate(photos):
        first = None
        for row, segmenter in segmenters.items():
            start = time.process_time()
            predicted = segmenter.predict(photo)
            seconds[row] += (time.process_time() - start) / len(photos)
            first = predicted if first is None else first
            equal.setdefault(row, []).append(np.mean(predicted == first))
            confusion[row] = confusion[row] + confusion_matrix(
                masks[number], predicted, num_classes
            )
        print(f"{number + 1} of {len(photos)} photos", file=sys.stderr)
    return confusion, seconds, {row: np.mean(equal[row]) for row in equal}


def main(settings):
    """Print a row for each precision."""
    source = data.catalog.load("camvid", settings.camvid, "val")
    chosen = np.linspace(0, len(source) - 1, settings.photos).round()
    records = [source[int(index)] for index in chosen]
    photos, masks = ([r[part] for r in records] for part in ("photo", "mask"))
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        whole = GenerativeSegmenter.from_preset(settings.preset)
        for stored in ("float32", "float16", "int8"):
            dtype = None if stored == "float32" else stored
            whole.save_to_preset(folder / stored, dtype=dtype)
        segmenters = {row: load(row, folder) for row in settings.rows}
        confusion, seconds, equal = compare(
            segmenters, photos, masks, source.num_classes
        )
        print(
            "| precision | mIoU | pixels as in the first, % | processor s "
            "a photo | GB a photo adds | MB of weights | MB of file |\n"
            "|---|---|---|---|---|---|---|"
        )
        for row, segmenter in segmenters.items():
            file = folder / ROWS[row][0] / "model.weights.h5"
            held = sum(np.asarray(w).nbytes for w in segmenter.get_weights())
            print(
                f"| {row} | {mean_iou(confusion[row]):.2f} | "
                f"{100 * equal[row]:.2f} | {seconds[row]:.2f} | "
                f"{in_new_process(added, row, folder, photos[0]):.2f} | "
                f"{held / 1e6:.1f} | {file.stat().st_size / 1e6:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
