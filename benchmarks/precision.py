"""Compare precisions by mIoU, time, memory and file size.

All precisions predict each photo in alternation, so that other load slows
them equally, after a warm-up photo. Times are CPU times of all threads.
Memory is the peak that predicting one photo adds, in a separate process.
Progress is printed per photo: with PyTorch on a CPU without bfloat16 units,
bfloat16 takes about 12 times as long as float32, so use few photos or omit
rows there.

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

# Storage dtype and compute dtype.
ROWS = {
    "float32": ("float32", "float32"),
    "bfloat16": ("float16", "bfloat16"),
    "float16": ("float16", "float16"),
    "int8 stored": ("int8", "float32"),
    "int8 stored, bfloat16": ("int8", "bfloat16"),
    "int8 matrix products of Keras": ("float32", "quantize"),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """Command-line settings."""

    camvid: pathlib.Path
    """Folder of CamVid in the layout of the SegNet tutorial."""
    photos: int = 30
    """Number of evenly spaced val photos."""
    rows: tuple[str, ...] = tuple(ROWS)
    """Rows to measure; the first one is the reference."""
    preset: str = "camvid"


def load(row, folder):
    """Load the segmenter of a row from its preset's folder."""
    stored, computed = ROWS[row]
    is_quantized = computed == "quantize"
    segmenter = GenerativeSegmenter.from_preset(
        folder / stored, dtype="float32" if is_quantized else computed
    )
    if is_quantized:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one per skipped layer
            segmenter.prior.quantize("int8")
    return segmenter


def peak_of(row, folder, photo):
    """Return the peak memory that predicting a photo adds, in GB."""
    segmenter = load(row, folder)
    segmenter.predict(photo[:32, :32])  # warm-up
    return peak_gigabytes(lambda: segmenter.predict(photo))


def compare(segmenters, photos, masks, num_classes):
    """Predict photos with all segmenters in alternation.

    Returns:
        Dicts by row: confusion matrices, mean CPU seconds per photo, and the
        fraction of pixels equal to the first row's.
    """
    confusion = dict.fromkeys(segmenters, 0)
    seconds, agreement = dict.fromkeys(segmenters, 0.0), {}
    for segmenter in segmenters.values():
        segmenter.predict(photos[0])
    for number, photo in enumerate(photos):
        reference = None
        for row, segmenter in segmenters.items():
            start = time.process_time()
            predicted = segmenter.predict(photo)
            seconds[row] += (time.process_time() - start) / len(photos)
            reference = predicted if reference is None else reference
            is_equal = np.mean(predicted == reference)
            agreement.setdefault(row, []).append(is_equal)
            confusion[row] = confusion[row] + confusion_matrix(
                masks[number], predicted, num_classes
            )
        print(f"{number + 1} of {len(photos)} photos", file=sys.stderr)
    agreement = {row: np.mean(values) for row, values in agreement.items()}
    return confusion, seconds, agreement


def main(settings):
    """Print a row for each precision."""
    source = data.catalog.load("camvid", settings.camvid, "val")
    indices = np.linspace(0, len(source) - 1, settings.photos).round()
    records = [source[int(index)] for index in indices]
    photos, masks = ([r[part] for r in records] for part in ("photo", "mask"))
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        original = GenerativeSegmenter.from_preset(settings.preset)
        for stored in ("float32", "float16", "int8"):
            dtype = None if stored == "float32" else stored
            original.save_to_preset(folder / stored, dtype=dtype)
        segmenters = {row: load(row, folder) for row in settings.rows}
        confusion, seconds, agreement = compare(
            segmenters, photos, masks, source.num_classes
        )
        print(
            "| precision | mIoU | pixels equal to the first, % | CPU s per "
            "photo | memory added, GB | weights, MB | file, MB |\n"
            "|---|---|---|---|---|---|---|"
        )
        for row, segmenter in segmenters.items():
            file = folder / ROWS[row][0] / "model.weights.h5"
            weights = segmenter.get_weights()
            size = sum(np.asarray(weight).nbytes for weight in weights)
            print(
                f"| {row} | {mean_iou(confusion[row]):.2f} | "
                f"{100 * agreement[row]:.2f} | {seconds[row]:.2f} | "
                f"{in_new_process(peak_of, row, folder, photos[0]):.2f} | "
                f"{size / 1e6:.1f} | {file.stat().st_size / 1e6:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
