r"""Converts a checkpoint of the official release into a preset.

`pip install "gss-keras[data]"`, then, for example,

    python -m weights_conversion.gss --checkpoint gss-ff_r101_cityscapes.pth \
        --name gss_ff_resnet101_cityscapes

after which `GenerativeSegmenter.from_preset` finds it by that name.
Every backbone and both heads are read, FF and FT-W, with sizes taken from the
tensors and the rest from the configuration in the file. Where the file lacks
DALL-E's tokenizer, `--tokenizer` names its preset. Neither PyTorch nor MMCV is
needed, and nothing that the file contains is run.
"""

import dataclasses
import pathlib
import sys

import keras
import numpy as np
from keras import ops

import gss_keras
from gss_keras import presets, visualize
from weights_conversion import mmcv_config, named_models, official, writing
from weights_conversion.checkpoints import read_checkpoint_with_meta

_INVERSE = tuple(
    f"decode_head.{start}" for start in ("projection.", "post_", "cls_segmap.")
)
_CARD = """\
# {name}

{variant} of "Generative Semantic Segmentation" (Chen et al., CVPR 2023) with a
{backbone} backbone and {num_classes} classes: {parameters:,} parameters.

```python
import gss_keras

segmenter = gss_keras.GenerativeSegmenter.from_preset("{name}")
masks = segmenter.predict(photos)  # uint8 photos in, int32 masks out
```

* **Source**: {sources}, a checkpoint of the official release
  (github.com/fudan-zvg/GSS), whose repository states no license of its own.
* **DALL-E's tokenizer** is part of the model. Its license, a modified MIT
  license of OpenAI, asks that its use be clearly indicated: say so wherever
  you show or pass on results.
* **Converted** by `python -m weights_conversion.gss`; every tensor found its
  place, each once.
* **Evaluated** {evaluated}, with maskiges stretched onto the photo as in the
  release. Whether the published score{score} comes out, tells
  `python recipes/evaluate.py --preset {name} --expect SCORE`.
* **Check**: of a drawn street, {classes} of {num_classes} classes were
  answered; the largest covers {share:.0%} of it.
"""


@dataclasses.dataclass(frozen=True)
class Check:
    """What a segmenter made of a drawn street.

    Attributes:
        classes: Number of classes it answered.
        share: Share of the pixels that the most frequent one covers, 0 to 1.
        picture: Photo, maskige and mask, uint8 `(height, width, 3)`.
    """

    classes: int
    share: float
    picture: np.ndarray


def read(checkpoint, inverse_checkpoint=None):
    """Reads the tensors and the configuration of a released checkpoint.

    Args:
        checkpoint: Path of the file.
        inverse_checkpoint: Path of an FT-W checkpoint whose learned inverse
            mapping is wanted with everything else from `checkpoint`, as the
            release evaluates FT-W.

    Returns:
        A pair: a dict from name to array, and the configuration as
        `official.build_segmenter` takes it.

    Raises:
        ValueError: If a file is no checkpoint, damaged, or lacks what it is
            to give.
    """
    tensors, config = _read(checkpoint)
    if inverse_checkpoint is None:
        return tensors, config
    others, _ = _read(inverse_checkpoint)
    inverse = {k: v for k, v in others.items() if k.startswith(_INVERSE)}
    if not inverse:
        raise ValueError(
            f"{inverse_checkpoint} must hold the learned inverse of an FT-W "
            f"model. Received: {len(others)} tensors, none named "
            f"{', '.join(f'`{start}*`' for start in _INVERSE)}"
        )
    return tensors | inverse, config


def check(segmenter):
    """Lets a segmenter segment a drawn street, for a person to look at.

    Args:
        segmenter: A `GenerativeSegmenter`.

    Returns:
        A `Check`.
    """
    photo = writing.draw_street()
    maskige = segmenter.predict_maskiges(photo)
    # Decoding is most of the work, so the mask is read off the same maskige.
    logits = segmenter.posterior.class_logits(maskige[None], *photo.shape[:2])
    mask = ops.convert_to_numpy(logits)[0].argmax(axis=-1)
    scale = segmenter.posterior.mask_scale
    maskige = maskige[::scale, ::scale]
    painted = visualize.paint(mask, segmenter.posterior.palette)
    counts = np.unique(mask, return_counts=True)[1]
    picture = visualize.panel(
        [[photo, maskige, painted]], ["photo", "maskige", "mask"]
    )
    return Check(len(counts), counts.max() / mask.size, picture)


def convert(
    checkpoint, output, tokenizer=None, inverse_checkpoint=None, palette=None
):
    """Writes the preset and, beside it, the picture of its check.

    Args:
        checkpoint: Path of the checkpoint.
        output: Folder of the preset; the picture is `<output>_check.png`.
        tokenizer: Preset of the `DiscreteVAE` to use where the checkpoint
            has none; by default "dalle".
        inverse_checkpoint: As in `read`.
        palette: Name of a palette, where it is not the one of the checkpoint.

    Returns:
        A pair of the `GenerativeSegmenter` and its `Check`.

    Raises:
        ValueError: If a file is not what it should be, or `output` holds
            something else than a preset. Nothing is written then.
    """
    presets.check_folder(output)
    tensors, config = read(checkpoint, inverse_checkpoint)
    if not any(name.startswith("decode_head.d_vae.") for name in tensors):
        tokenizer = gss_keras.DiscreteVAE.from_preset(tokenizer or "dalle")
    segmenter = official.build_segmenter(tensors, config, tokenizer, palette)
    checked = check(segmenter)
    files = [path for path in (checkpoint, inverse_checkpoint) if path]
    card = _card(segmenter, pathlib.Path(output).name, files, checked)
    writing.write_preset(segmenter, output, card, checked.picture)
    return segmenter, checked


def variant(segmenter):
    """Returns the paper's name of the kind of model: GSS-FF or GSS-FT-W."""
    is_learned = segmenter.posterior.inverse.weights
    return "GSS-FT-W" if is_learned else "GSS-FF"


def main(
    checkpoint: pathlib.Path,
    output: pathlib.Path | None = None,
    name: str | None = None,
    tokenizer: str | None = None,
    inverse_checkpoint: pathlib.Path | None = None,
    palette: str | None = None,
):
    """Converts a checkpoint of the official release into a preset.

    Args:
        checkpoint: The PyTorch file, such as `gss-ff_....pth`.
        output: Folder to write the preset into.
        name: Instead of `output`, the name of one of the published models,
            under which `from_preset` will find the preset.
        tokenizer: Preset of DALL-E's tokenizer, for a file without it; by
            default the one that `python -m weights_conversion.dalle` makes.
        inverse_checkpoint: An FT-W file that gives its learned inverse, while
            `checkpoint` gives the rest.
        palette: Name of a palette, for a file without its configuration.
    """
    try:
        output = _output(output, name)
        segmenter, checked = convert(
            checkpoint, output, tokenizer, inverse_checkpoint, palette
        )
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    posterior = segmenter.posterior
    print(
        f"{variant(segmenter)}, {type(segmenter.prior.backbone).__name__}, "
        f"{posterior.num_classes} classes, {segmenter.count_params():,} "
        "parameters, each taken once"
    )
    print(
        f"of a drawn street it answered {checked.classes} classes, the "
        f"largest on {checked.share:.0%}; look at "
        f"{writing.picture_of(output)}"
    )
    print(f"wrote {output}, on Keras' {keras.backend.backend()} backend")
    print("It contains DALL-E's tokenizer, whose use is to be indicated.")


def _read(checkpoint):
    tensors, others = read_checkpoint_with_meta(checkpoint)
    meta = others.get("meta")
    text = meta.get("config") if isinstance(meta, dict) else None
    if text is None:
        return tensors, {}
    names = ("model", "img_norm_cfg")
    return tensors, mmcv_config.parse_config(text, names)


def _output(output, name):
    names = [row.name for row in named_models.PUBLISHED]
    if (output is None) == (name is None) or name not in (None, *names):
        raise ValueError(
            "Either a folder must be given with `--output`, or one of the "
            f"published models with `--name`: {', '.join(names)}. "
            f"Received: output={output}, name={name}"
        )
    return output or presets.home() / name


def _card(segmenter, name, files, checked):
    window = segmenter.window and "x".join(map(str, segmenter.window))
    stride = segmenter.stride and "x".join(map(str, segmenter.stride))
    evaluated = f"in windows of {window} every {stride}" if window else "whole"
    sources = (
        f"`{pathlib.Path(f).name}` (SHA-256 `{writing.sha256(f)}`)"
        for f in files
    )
    row = named_models.find(name)
    score = f", {row.score:.2f} {named_models.measure(row)}," if row else ""
    return _CARD.format(
        name=name,
        score=score,
        variant=variant(segmenter),
        backbone=type(segmenter.prior.backbone).__name__,
        num_classes=segmenter.posterior.num_classes,
        parameters=segmenter.count_params(),
        sources=" with the inverse of ".join(sources),
        evaluated=evaluated,
        classes=checked.classes,
        share=checked.share,
    )


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
