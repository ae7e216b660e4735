"""How well segmenters bear photos that are noisy, blurred or foggy.

Val photos of CamVid are corrupted in five ways, each at three strengths, and
segmented by every preset: the mIoU on them, and what share it is of that on
the photos as they are. The corruptions are those of Hendrycks and Dietterich,
arXiv 1903.12261, severities 1, 3 and 5, as the package imagecorruptions-imaug
keeps them (`pip install -e .[benchmarks]`).

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
STRENGTHS = (1, 3, 5)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to measure."""

    camvid: pathlib.Path
    """CamVid in the layout of the SegNet tutorial."""
    presets: tuple[str, ...]
    """Folders or names of segmenters, generative or discriminative."""
    fit: tuple[int, int] | None = None
    """Longest and shortest side that photos are brought to first."""
    limit: int | None = None
    """Take only so many photos, evenly spread."""
    seed: int = 0


class Records:
    """A source of records in memory."""

    def __init__(self, source, records):
        self.classes, self.num_classes = source.classes, source.num_classes
        self.records = records

    def __len__(self):
        """Return the number of records."""
        return len(self.records)

    def __getitem__(self, index):
        """Return a record."""
        return self.records[index]


def corrupted(records, kind, strength, seed):
    """Return records with corrupted photos, the same ones every time."""
    from imagecorruptions import corrupt

    np.random.seed(seed)  # the package draws from NumPy's global generator
    name = KINDS[kind]
    return [
        record | {"photo": corrupt(record["photo"], strength, name)}
        for record in records
    ]


def main(settings):
    """Print one row for each corruption, one column for each preset."""
    source = data.CamVid(settings.camvid, "val")
    if settings.fit:
        source = data.Resized(source, settings.fit)
    count = min(settings.limit or len(source), len(source))
    spread = np.linspace(0, len(source) - 1, count).round().astype(int)
    photos = [source[index] for index in spread.tolist()]
    segmenters = [BaseSegmenter.from_preset(p) for p in settings.presets]

    def score(records):
        records = Records(source, records)
        return [evaluation.evaluate(s, records)["mIoU"] for s in segmenters]

    names = [str(preset) for preset in settings.presets]
    print(f"| corruption | strength | {' | '.join(names)} |")
    print("|---|---|" + "---|" * len(names))
    clean, shares = score(photos), []
    print(f"| none | | {' | '.join(f'{s:.2f}' for s in clean)} |", flush=True)
    for kind in KINDS:
        for strength in STRENGTHS:
            found = score(corrupted(photos, kind, strength, settings.seed))
            shares.append(np.divide(found, clean))
            cells = [
                f"{one:.2f} ({100 * share:.0f} %)"
                for one, share in zip(found, shares[-1], strict=True)
            ]
            row = f"| {kind} | {strength} | {' | '.join(cells)} |"
            print(row, flush=True)
    means = " | ".join(f"({100 * m:.1f} %)" for m in np.mean(shares, axis=0))
    print(f"| mean of all | | {means} |")


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
