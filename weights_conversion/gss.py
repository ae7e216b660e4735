r"""Convert a checkpoint of the official release to a preset.

After `pip install "gss-keras[data]"`, for example:

    python -m weights_conversion.gss --checkpoint gss-ff_r101_cityscapes.pth \
        --name gss_ff_resnet101_cityscapes

Then `GenerativeSegmenter.from_preset` finds it by that name. All backbones and
both heads, FF and FT-W, are supported. Sizes are inferred from the tensors, the
other settings read from the configuration in the file. If the file does not
contain DALL-E's tokenizer, `--tokenizer` names its preset. Neither PyTorch nor
MMCV is needed, and no code from the file is executed.
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
  (github.com/fudan-zvg/GSS), whose repository states no license.
* **DALL-E's tokenizer** is part of the model. Its license, a modified MIT
  license of OpenAI, asks that its use be clearly indicated: state it wherever
  you show or share results.
* **Converted** by `python -m weights_conversion.gss`; every tensor was
  assigned exactly once.
* **Evaluated** {evaluated}, with maskiges stretched onto the photo as in the
  release. Check that it reproduces the published score{score} with
  `python recipes/evaluate.py --preset {name} --expect SCORE`.
* **Check**: {classes} of {num_classes} classes predicted in a synthetic street
  scene; the largest covers {share:.0%} of it.
"""


@dataclasses.dataclass(frozen=True)
class Check:
    """Segmentation of a synthetic street scene.

    Attributes:
        classes: Number of predicted classes.
        share: Fraction of the pixels of the most frequent class, 0 to 1.
        picture: Photo, maskige and mask side by side, uint8
            `(height, width, 3)`.
    """

    classes: int
    share: float
    picture: np.ndarray


def read(checkpoint, inverse_checkpoint=None):
    """Read the tensors and the configuration of a released checkpoint.

    Args:
        checkpoint: Path of the file.
        inverse_checkpoint: Path of an FT-W checkpoint from which to take the
            learned inverse mapping, and everything else from `checkpoint`, as
            in the release's evaluation of FT-W.

    Returns:
        A pair: a dict from name to array, and the argument `config` of
        `official.build_segmenter`.

    Raises:
        ValueError: If a file is corrupt or not a checkpoint, or
            `inverse_checkpoint` has no learned inverse mapping.
    """
    tensors, config = _read(checkpoint)
    if inverse_checkpoint is None:
        return tensors, config
    others, _ = _read(inverse_checkpoint)
    inverse = {k: v for k, v in others.items() if k.startswith(_INVERSE)}
    if not inverse:
        raise ValueError(
            f"{inverse_checkpoint} must contain the learned inverse of an FT-W "
            f"model. Received: {len(others)} tensors, none named "
            f"{', '.join(f'`{start}*`' for start in _INVERSE)}"
        )
    return tensors | inverse, config


def check(segmenter):
    """Segment a synthetic street scene, for visual inspection.

    Args:
        segmenter: A `GenerativeSegmenter`.

    Returns:
        A `Check`.
    """
    photo = writing.draw_street()
    maskige = segmenter.predict_maskiges(photo)
    # Decoding is most of the work, so reuse the maskige to compute the mask.
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
    """Convert a checkpoint to a preset with a picture of its check.

    Args:
        checkpoint: Path of the checkpoint.
        output: Folder of the preset; the picture is `<output>_check.png`.
        tokenizer: Preset of the `DiscreteVAE` to use if the checkpoint has
            none. Defaults to "dalle".
        inverse_checkpoint: As in `read`.
        palette: Name of a palette that overrides the checkpoint's.

    Returns:
        A pair of the `GenerativeSegmenter` and its `Check`.

    Raises:
        ValueError: If a file is invalid, or `output` is a folder that is not
            a preset. Nothing is written then.
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
    """Return the paper's name of the variant: GSS-FF or GSS-FT-W."""
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
    """Convert a checkpoint of the official release to a preset.

    Args:
        checkpoint: The PyTorch file, such as `gss-ff_....pth`.
        output: Folder to write the preset to.
        name: Instead of `output`, the name of a published model, under which
            `from_preset` will find the preset.
        tokenizer: Preset of DALL-E's tokenizer, for a file without it.
            Defaults to the one that `python -m weights_conversion.dalle`
            writes.
        inverse_checkpoint: An FT-W checkpoint from which to take the learned
            inverse mapping, and everything else from `checkpoint`.
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
        "parameters, all tensors converted"
    )
    print(
        f"{checked.classes} classes predicted in a synthetic street scene, the "
        f"largest covers {checked.share:.0%}; see "
        f"{writing.picture_of(output)}"
    )
    print(f"wrote {output} with the {keras.backend.backend()} backend")
    print(
        "It contains DALL-E's tokenizer, whose license asks you to clearly "
        "indicate that it was used."
    )


def _read(checkpoint):
    """Return the tensors and the parsed configuration of one checkpoint."""
    tensors, other_entries = read_checkpoint_with_meta(checkpoint)
    meta = other_entries.get("meta")
    text = meta.get("config") if isinstance(meta, dict) else None
    if text is None:
        return tensors, {}
    names = ("model", "img_norm_cfg")
    return tensors, mmcv_config.parse_config(text, names)


def _output(output, name):
    """Return the output folder, given as such or by the name of a preset."""
    names = [row.name for row in named_models.PUBLISHED]
    if (output is None) == (name is None) or name not in (None, *names):
        raise ValueError(
            "Either `--output` must be a folder, or `--name` one of the "
            f"published models: {', '.join(names)}. "
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
