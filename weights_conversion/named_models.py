"""Writes the configurations of the published models, and their table.

`python -m weights_conversion.named_models` builds each model of the paper's
tables once and writes its configuration and card, without weights, into
`gss_keras/assets`, and the table of all into README.md. The weights come from
`weights_conversion.gss`.
"""

import dataclasses
import pathlib
import re

import keras

import gss_keras
from gss_keras.backbones import HRNetV2, ResNetV1c, SwinTransformer
from gss_keras.data import catalog
from gss_keras.maskige import WindowInverse, palettes
from gss_keras.saving import presets

_ROOT = pathlib.Path(__file__).parents[1]
_ASSETS = _ROOT / "gss_keras" / "assets"
_SOURCE = "https://github.com/fudan-zvg/GSS"
_DRIVE = "https://drive.google.com/drive/folders/"
_START, _END = "<!-- named models -->", "<!-- end of named models -->"
_BACKBONES = {
    "ResNet-101": lambda: ResNetV1c(101),
    "Swin-L": lambda: SwinTransformer.of_size("large", drop_path=0.3),
    "HRNet-W48": lambda: HRNetV2.of_width(48),
}
_DALLE_PARAMETERS = 97_616_006


@dataclasses.dataclass(frozen=True)
class Published:
    """A row of the published tables.

    Attributes:
        name: Name of the preset.
        variant: "GSS-FF" or "GSS-FT-W".
        backbone: Name of the backbone in the paper.
        palette: Name of the data set's palette.
        score: Published mIoU in percent; for MSeg the harmonic mean over the
            six test sets.
        details: What else was published of it.
        folder: Identifier of the folder with the checkpoint.
        depth: Attention blocks of the head.
        inverse_depth: Attention blocks of a learned inverse, 0 for none.
        pixel_branch: As in `LatentPrior`.
        is_whole: Whether photos are evaluated as a whole, and not in windows
            of 768 x 768 every 512 pixels.
        parameters: Parameters of backbone, head and inverse, as the official
            modules count them.
    """

    name: str
    variant: str
    backbone: str
    palette: str
    score: float
    details: str
    folder: str
    depth: int
    inverse_depth: int
    pixel_branch: str | None
    is_whole: bool
    parameters: int


def _ff(*row, pixel_branch="separate", **kwargs):
    return Published(*row, 0, pixel_branch, **kwargs)


def _ft_w(*row, inverse_depth, **kwargs):
    return Published(*row, inverse_depth, None, **kwargs)


# Scores from the paper and the README of the release, which lists the folders
# too; parameters counted with mmsegmentation, see tests/oracle.
PUBLISHED = [
    _ff(
        "gss_ff_resnet101_cityscapes", "GSS-FF", "ResNet-101", "cityscapes",
        77.76, "mAcc 85.9", "1riNfPpzc_6XaCzcNuzqZaRYakO_8aItG", 6,
        is_whole=False, parameters=42_519_392 + 34_812_659,
    ),
    _ft_w(
        "gss_ft_w_resnet101_cityscapes", "GSS-FT-W", "ResNet-101",
        "cityscapes", 78.46, "mAcc 85.92",
        "1HDeewsE6E9oLZ9ROCH7KgAHaAZeSUj95", 6,
        inverse_depth=1, is_whole=False, parameters=42_519_392 + 32_873_623,
    ),
    _ff(
        "gss_ff_swin_large_cityscapes", "GSS-FF", "Swin-L", "cityscapes",
        78.90, "mAcc 87.03", "1BTvchDJtUk4rRJ0qK2rcApbHEAEK1bEZ", 2,
        is_whole=False, parameters=195_201_204 + 25_653_427,
    ),
    _ft_w(
        "gss_ft_w_swin_large_cityscapes", "GSS-FT-W", "Swin-L", "cityscapes",
        80.05, "mAcc 87.32", "1Rin_JkIsgAtjXgI5ruKW-gmC6fpawTrx", 2,
        inverse_depth=1, is_whole=False, parameters=195_201_204 + 24_083_031,
    ),
    _ff(
        "gss_ff_swin_large_ade20k", "GSS-FF", "Swin-L", "ade20k",
        46.29, "mAcc 57.84", "1OnzGL5szxYlUnv2zmAkdw-mA-3pTNo_w", 2,
        is_whole=True, parameters=195_201_204 + 25_703_862,
    ),
    _ft_w(
        "gss_ft_w_swin_large_ade20k", "GSS-FT-W", "Swin-L", "ade20k",
        48.54, "mAcc 58.94", "1fubhnOPnr-s5U0M5A-WWJIV-eKmhcH4f", 2,
        inverse_depth=2, is_whole=True, parameters=195_201_204 + 24_233_086,
    ),
    _ff(
        "gss_ff_hrnet_w48_mseg", "GSS-FF", "HRNet-W48", "mseg", 52.60,
        "VOC 64.1, Context 37.1, CamVid 72.3, WildDash 59.3, KITTI 62.0, "
        "ScanNet 40.6", "1HRQ6ZUE7TwYByeb5uBAlGh4vuqo4XsnZ", 6,
        pixel_branch="shared", is_whole=False,
        parameters=65_325_120 + 31_638_562,
    ),
    _ft_w(
        "gss_ft_w_hrnet_w48_mseg", "GSS-FT-W", "HRNet-W48", "mseg", 55.20,
        "VOC 65.2, Context 38.8, CamVid 75.2, WildDash 62.5, KITTI 66.2, "
        "ScanNet 43.1", "1KMowx8omTy2AyiPmvz-JJ60JlLKk61di", 6,
        inverse_depth=2, is_whole=False, parameters=65_325_120 + 31_831_274,
    ),
    _ff(
        "gss_ff_swin_large_mseg", "GSS-FF", "Swin-L", "mseg", 59.49,
        "VOC 78.7, Context 45.8, CamVid 74.2, WildDash 61.8, KITTI 65.4, "
        "ScanNet 46.9", "1br9IAcOHXkJsPoG0DBEwkN97U5V5liEZ", 2,
        pixel_branch="shared", is_whole=False,
        parameters=195_201_204 + 24_046_050,
    ),
    _ft_w(
        "gss_ft_w_swin_large_mseg", "GSS-FT-W", "Swin-L", "mseg", 61.94,
        "VOC 79.5, Context 47.7, CamVid 75.9, WildDash 65.3, KITTI 68.0, "
        "ScanNet 49.7", "1OmDq7tFattm4IfwDIYKVJS05LJaPme9p", 2,
        inverse_depth=2, is_whole=False, parameters=195_201_204 + 24_238_762,
    ),
]  # fmt: skip

_CARD = """\
# {name}

{variant} of "Generative Semantic Segmentation" (Chen et al., CVPR 2023) with
{backbone} on {dataset}, {num_classes} classes. {parameters:,} parameters, and
{dalle:,} of DALL-E's frozen tokenizer. This folder has no weights:

```python
import gss_keras

segmenter = gss_keras.GenerativeSegmenter.from_preset(
    "{name}", load_weights=False
)
```

* **Published score**: {score:.2f} {measure} ({details}); not yet reproduced
  here. Photos are segmented {evaluated}.
* **Weights**: the official checkpoint, in [this folder]({drive}{folder}),
  which becomes a preset with

      python -m weights_conversion.gss --checkpoint FILE --name {name}

* **Source**: the official release, {source}, in which no license file was
  found; it builds upon mmsegmentation (Apache-2.0).
* **DALL-E's tokenizer** is under a modified MIT license of OpenAI, which asks
  that its use be clearly indicated.
"""
_DALLE_CARD = """\
# dalle

The discrete VAE of DALL-E, without its weights. They are OpenAI's, under a
modified MIT license that asks that their use be clearly indicated, and become
a preset with

    python -m weights_conversion.dalle --download
"""
_DATASETS = {"cityscapes": "Cityscapes", "ade20k": "ADE20K", "mseg": "MSeg"}


def build(row):
    """Builds a published model with random weights.

    Args:
        row: A `Published`.

    Returns:
        A `GenerativeSegmenter`.
    """
    inverse = "nearest_color"
    if row.inverse_depth:
        count = len(palettes.named(row.palette))
        inverse = WindowInverse(count, depth=row.inverse_depth)
    posterior = gss_keras.LatentPosterior(
        row.palette,
        gss_keras.DiscreteVAE(),
        inverse=inverse,
        ignore_color=palettes.ignore_color(row.palette),
        alignment="stretch",
        classes=catalog.card(row.palette).classes,
    )
    prior = gss_keras.LatentPrior(
        _BACKBONES[row.backbone](),
        posterior,
        depth=row.depth,
        pixel_branch=row.pixel_branch,
        pad_to=1,
    )
    windows = () if row.is_whole else ((768, 768), (512, 512))
    return gss_keras.GenerativeSegmenter(prior, *windows)


def find(name):
    """Returns the published model of that name, None if there is none."""
    return next((row for row in PUBLISHED if row.name == name), None)


def measure(row):
    """Returns what the published score of a model is."""
    is_mean = row.palette == "mseg"
    return "harmonic mean of six test sets' mIoU" if is_mean else "mIoU"


def card(row):
    """Returns the text of a published model's card."""
    evaluated = "as a whole"
    if not row.is_whole:
        evaluated = "in windows of 768 x 768 every 512 pixels"
    return _CARD.format(
        **dataclasses.asdict(row),
        dataset=_DATASETS[row.palette],
        num_classes=len(palettes.named(row.palette)),
        dalle=_DALLE_PARAMETERS,
        measure=measure(row),
        evaluated=evaluated,
        drive=_DRIVE,
        source=_SOURCE,
    )


def table():
    """Returns the table of the published models in Markdown."""
    lines = [
        "| preset | variant | backbone | data | published | parameters |",
        "|---|---|---|---|---|---|",
    ]
    for row in PUBLISHED:
        lines.append(
            f"| [`{row.name}`](gss_keras/assets/{row.name}/README.md) "
            f"| {row.variant} | {row.backbone} | {_DATASETS[row.palette]} "
            f"| {row.score:.2f} | {row.parameters / 1e6:.1f} M |"
        )
    return "\n".join(lines)


def with_table(text):
    """Puts the table between its marks in the text of the README."""
    pattern = re.compile(f"{_START}.*{_END}", re.DOTALL)
    return pattern.sub(f"{_START}\n{table()}\n{_END}", text)


def main():
    """Writes the configurations of the published models, and their table."""
    for row in PUBLISHED:
        # Else the layers' names in a file would depend on those before it.
        keras.utils.clear_session()
        command = (
            f"python -m weights_conversion.gss --checkpoint FILE --name "
            f"{row.name}, with a file of {_DRIVE}{row.folder}"
        )
        presets.write_config(build(row), _ASSETS / row.name, card(row), command)
        print(f"wrote {row.name}")
    keras.utils.clear_session()
    presets.write_config(
        gss_keras.DiscreteVAE(),
        _ASSETS / "dalle",
        _DALLE_CARD,
        "python -m weights_conversion.dalle --download",
    )
    readme = _ROOT / "README.md"
    readme.write_text(with_table(readme.read_text()))


if __name__ == "__main__":
    main()
