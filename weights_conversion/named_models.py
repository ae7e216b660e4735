"""Write the configs, model cards and table of the published models.

`python -m weights_conversion.named_models` builds each model of the paper's
tables and writes its config and model card, without weights, to
`gss_keras/assets`, and a table of all models to README.md.
`weights_conversion.gss` converts the weights.
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
    """A published model.

    Attributes:
        name: Name of the preset.
        variant: "GSS-FF" or "GSS-FT-W".
        backbone: Name of the backbone in the paper.
        palette: Name of the data set's palette.
        score: Published mIoU in percent; for MSeg the harmonic mean over the
            six test sets.
        details: Other published scores.
        folder: Id of the Google Drive folder with the checkpoint.
        depth: Number of Swin blocks in the head.
        inverse_depth: Number of Swin blocks in a learned inverse mapping, 0
            for none.
        pixel_branch: As in `LatentPrior`.
        is_whole: Whether whole photos are evaluated, instead of sliding
            windows of 768 x 768 with stride 512.
        parameters: Number of parameters of backbone, head and inverse mapping
            in the official modules.
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


# Scores and folders are those of the paper and the release's README; parameters
# are those printed by `python -m tests.oracle parameters`.
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
{dalle:,} in DALL-E's frozen tokenizer. This folder has no weights:

```python
import gss_keras

segmenter = gss_keras.GenerativeSegmenter.from_preset(
    "{name}", load_weights=False
)
```

* **Published score**: {score:.2f} {measure} ({details}); not yet reproduced
  here. Photos are segmented {evaluated}.
* **Weights**: download the official checkpoint from
  [this folder]({drive}{folder})
  and convert it to a preset with

      python -m weights_conversion.gss --checkpoint FILE --name {name}

* **Source**: the official release, {source}, in which no license file was
  found; it builds upon mmsegmentation (Apache-2.0).
* **DALL-E's tokenizer** has a modified MIT license of OpenAI, which asks that
  its use be clearly indicated.
"""
_DALLE_CARD = """\
# dalle

The discrete VAE of DALL-E, without its weights. OpenAI publishes them under a
modified MIT license, which asks that their use be clearly indicated.
Convert them to a preset with

    python -m weights_conversion.dalle --download
"""
_DATASETS = {"cityscapes": "Cityscapes", "ade20k": "ADE20K", "mseg": "MSeg"}


def build(row):
    """Build a published model with random weights.

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
    """Return the published model with a name, None if there is none."""
    return next((row for row in PUBLISHED if row.name == name), None)


def measure(row):
    """Return the name of the metric of a model's published score."""
    is_mean = row.palette == "mseg"
    return "harmonic mean of six test sets' mIoU" if is_mean else "mIoU"


def card(row):
    """Return the model card of a published model."""
    evaluated = "as a whole"
    if not row.is_whole:
        evaluated = "in windows of 768 x 768 with stride 512"
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
    """Return the Markdown table of the published models."""
    lines = [
        "| preset | variant | backbone | data | published mIoU | parameters |",
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
    """Return the text of the README with its table updated."""
    pattern = re.compile(f"{_START}.*{_END}", re.DOTALL)
    return pattern.sub(f"{_START}\n{table()}\n{_END}", text)


def main():
    """Write the configs, model cards and table of the published models."""
    for row in PUBLISHED:
        # Otherwise layer names would depend on the models built before.
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
