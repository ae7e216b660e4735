"""Measure the robustness of segmenters to corrupted photos.

The val photos of CamVid are corrupted in five ways at three severities each
and segmented with every preset. The mIoU is reported, absolute and as a
percentage of the mIoU on clean photos. The corruptions are those of Hendrycks
and Dietterich, arXiv 1903.12261, at severities 1, 3 and 5, as implemented by
the package imagecorruptions-imaug (`pip install -e .[benchmarks]`).

    KERAS_BACKEND=tensorflow python benchmarks/corruptions.py \
        --camvid CamVid --presets camvid outputs/fcn/preset
"""

import dataclasses
import pathlib

import numpy as np
import tyro

from gss_keras import data, evaluation
from gss_keras.models.base_segmenter import BaseSegmenter

KINDS = {
    "noise": "gaussian_noise",
    "blur": "defocus_blur",
    "fog": "fog",
    "brightness": "brightness",
    "JPEG": "jpeg_compression",
}
SEVERITIES = (1, 3, 5)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Command-line settings."""

    camvid: pathlib.Path
    """Folder of CamVid in the layout of the SegNet tutorial."""
    presets: tuple[str, ...]
    """Folders or names of presets, generative or discriminative."""
    fit: tuple[int, int] | None = None
    """Longest and shortest side that photos are resized to fit."""
    limit: int | None = None
    """Number of evenly spaced photos to use; all by default."""
    seed: int = 0


class Records:
    """In-memory data source of records."""

    def __init__(self, source, records):
        self.classes, self.num_classes = source.classes, source.num_classes
        self.records = records

    def __len__(self):
        """Return the number of records."""
        return len(self.records)

    def __getitem__(self, index):
        """Return a record."""
        return self.records[index]


def corrupted(records, kind, severity, seed):
    """Return records with corrupted photos, deterministically."""
    from imagecorruptions import corrupt

    np.random.seed(seed)  # the package uses NumPy's global RNG
    name = KINDS[kind]
    return [
        record | {"photo": corrupt(record["photo"], severity, name)}
        for record in records
    ]


def main(settings):
    """Print a table with a row per corruption and a column per preset."""
    source = data.CamVid(settings.camvid, "val")
    if settings.fit:
        source = data.Resized(source, settings.fit)
    count = min(settings.limit or len(source), len(source))
    indices = np.linspace(0, len(source) - 1, count).round().astype(int)
    photos = [source[index] for index in indices.tolist()]
    segmenters = [BaseSegmenter.from_preset(p) for p in settings.presets]

    def score(records):
        records = Records(source, records)
        return [evaluation.evaluate(s, records)["mIoU"] for s in segmenters]

    names = [str(preset) for preset in settings.presets]
    print(f"| corruption | severity | {' | '.join(names)} |")
    print("|---|---|" + "---|" * len(names))
    clean, fractions = score(photos), []
    print(f"| none | | {' | '.join(f'{s:.2f}' for s in clean)} |", flush=True)
    for kind in KINDS:
        for severity in SEVERITIES:
            scores = score(corrupted(photos, kind, severity, settings.seed))
            fractions.append(np.divide(scores, clean))
            cells = [
                f"{miou:.2f} ({100 * fraction:.0f} %)"
                for miou, fraction in zip(scores, fractions[-1], strict=True)
            ]
            row = f"| {kind} | {severity} | {' | '.join(cells)} |"
            print(row, flush=True)
    means = np.mean(fractions, axis=0)
    print(f"| mean | | {' | '.join(f'({100 * m:.1f} %)' for m in means)} |")


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
