"""Convert published PyTorch backbones into presets.

`pip install "gss-keras[conversion]"`, then, for example,

    python -m weights_conversion.backbones --architecture swin \
        --checkpoint swin_large_patch4_window12_384_22k.pth --output swin_large

Swin Transformers in the layout of mmsegmentation and in that of the original
release, ResNet-V1c and HRNet in the layout of mmsegmentation. All sizes are
inferred from the tensors. A segmenter's checkpoint needs `--prefix backbone.`.
"""

import pathlib
import re
import sys
from typing import Literal

import keras
import numpy as np

from gss_keras.backbones import HRNetV2, ResNetV1c, SwinTransformer
from gss_keras.saving import presets
from weights_conversion import porting, writing
from weights_conversion.backbone_layers import (
    count,
    depth_of,
    hrnet_depths,
    layers_of,
)
from weights_conversion.checkpoints import read_checkpoint

# Layers of a classifier, which no feature map depends on.
_CLASSIFIER = (
    "head.*", "fc.*", "classifier.*", "final_layer.*", "incre_modules.*",
    "downsamp_modules.*",
)  # fmt: skip
# The original Swin's names and the corresponding ones of mmsegmentation.
_ORIGINAL_SWIN = (
    (r"^layers\.", "stages."),
    (r"^patch_embed\.proj\.", "patch_embed.projection."),
    (r"\.attn\.", ".attn.w_msa."),
    (r"\.mlp\.fc1\.", ".ffn.layers.0.0."),
    (r"\.mlp\.fc2\.", ".ffn.layers.1."),
)

_CARD = """\
# {name}

A {kind} without its classifier: {parameters:,} parameters.

```python
import gss_keras

backbone = gss_keras.backbones.{kind}.from_preset("{name}")
```

* **Source**: `{file}` (SHA-256 `{sha256}`). Its license and training data are
  those of whoever published that file.
* **Converted** by `python -m weights_conversion.backbones`; every tensor found
  its place, each once.
* **Check**: feature maps of a drawn street
{maps}
"""


def select(tensors, prefix):
    """Select a part of a checkpoint, such as the backbone of a segmenter.

    Args:
        tensors: A dict from name to array.
        prefix: Start of the names to select, such as `backbone.`.

    Returns:
        A dict of the tensors whose names start with it, without the prefix.

    Raises:
        ValueError: If there is none.
    """
    selected = {
        name.removeprefix(prefix): array
        for name, array in tensors.items()
        if name.startswith(prefix)
    }
    if not selected:
        starts = sorted({name.split(".")[0] for name in tensors})
        raise ValueError(
            f"`prefix` must be the start of some tensors' names. Received: "
            f"prefix={prefix!r}, with names that start with {starts}"
        )
    return selected


def convert_swin(tensors, **kwargs):
    """Build a Swin Transformer with the weights of a checkpoint.

    Args:
        tensors: A dict from name to array, in the layout of mmsegmentation or
            of the original release. Without layer norms of the levels, as
            after training on ImageNet, those keep their initial values.
        **kwargs: Further constructor arguments, such as `drop_path`.

    Returns:
        A `SwinTransformer`.

    Raises:
        ValueError: If a tensor is missing, left over or of another shape.
    """
    is_original = "patch_embed.proj.weight" in tensors
    tensors = _rename_swin(tensors) if is_original else tensors
    source = porting.Source(
        {
            name: _reorder_merging(array, is_original)
            if ".downsample." in name
            else array
            for name, array in tensors.items()
        }
    )
    # The norm in front of the classifier goes with it.
    source.discard_matching("norm.*", *_CLASSIFIER)
    tables = _find_tables(source)
    width = len(_require(tensors, "patch_embed.norm.weight"))
    hidden = "stages.0.blocks.0.ffn.layers.0.0.weight"
    model = SwinTransformer(
        width=width,
        depths=[len(tables[stage]) for stage in range(4)],
        heads=[tables[stage][0][1] for stage in range(4)],
        window=porting.window_of(tables[0][0]),
        expansion=len(_require(tensors, hidden)) // width,
        **kwargs,
    )
    layers = layers_of(model)
    kept = []
    if not any(re.match(r"norm\d", name) for name in source.names()):
        kept = [layers.pop(f"norm{stage}") for stage in range(4)]
    porting.port_layers(source, model, layers, kept)
    return model


def convert_resnet_v1c(tensors, **kwargs):
    """Build a ResNet-V1c with the weights of a checkpoint.

    Args:
        tensors: A dict from name to array, in the layout of mmsegmentation.
        **kwargs: Further constructor arguments: strides and dilations do not
            show in the weights.

    Returns:
        A `ResNetV1c`.

    Raises:
        ValueError: If a tensor is missing, left over or of another shape.
    """
    blocks = [count(tensors, rf"layer{n}\.(\d+)\.") for n in range(1, 5)]
    source = porting.Source(tensors)
    source.discard_matching(*_CLASSIFIER)
    model = ResNetV1c(
        depth_of(blocks),
        stem_channels=len(_require(tensors, "stem.6.weight")),
        base_channels=len(_require(tensors, "layer1.0.conv1.weight")),
        **kwargs,
    )
    porting.port_layers(source, model, layers_of(model))
    return model


def convert_hrnet(tensors, **kwargs):
    """Build an HRNetV2 with the weights of a checkpoint.

    Args:
        tensors: A dict from name to array, in the layout of mmsegmentation.
        **kwargs: Further constructor arguments, such as `name`.

    Returns:
        An `HRNetV2`.

    Raises:
        ValueError: If a tensor is missing, left over or of another shape.
    """
    source = porting.Source(tensors)
    source.discard_matching(*_CLASSIFIER)
    last = "stage4.0.branches.{}.0.conv1.weight"
    model = HRNetV2(
        channels=[len(_require(tensors, last.format(n))) for n in range(4)],
        **hrnet_depths(tensors),
        first_channels=len(_require(tensors, "layer1.0.conv1.weight")),
        **kwargs,
    )
    porting.port_layers(source, model, layers_of(model))
    return model


def check(backbone):
    """Describe the feature maps of a rendered street, for a person to read.

    Args:
        backbone: The backbone.

    Returns:
        List of strings, one for each feature map. Trained weights give a
        similar standard deviation at every level; random or misplaced ones
        give feature maps that are nearly constant or grow without bounds.
    """
    photos = writing.draw_street()[None].astype("float32")
    lines = []
    for stride, map_ in backbone.predict_on_batch(photos).items():
        height, width, channels = map_.shape[1:]
        lines.append(
            f"stride {stride}: {height} x {width} x {channels}, "
            f"mean {map_.mean():.3g}, deviation {map_.std():.3g}"
        )
    return lines


def main(
    architecture: Literal["swin", "resnet_v1c", "hrnet"],
    checkpoint: pathlib.Path,
    output: pathlib.Path,
    prefix: str = "",
):
    """Convert a published PyTorch backbone into a preset.

    Args:
        architecture: Architecture of the backbone.
        checkpoint: The PyTorch file.
        output: Folder to write the preset into.
        prefix: Prefix of the names of the backbone's tensors: `backbone.` in
            a segmenter's checkpoint.
    """
    convert = {
        "swin": convert_swin,
        "resnet_v1c": convert_resnet_v1c,
        "hrnet": convert_hrnet,
    }[architecture]
    try:
        presets.check_folder(output)
        model = convert(select(read_checkpoint(checkpoint), prefix))
        lines = check(model)
        card = _CARD.format(
            name=pathlib.Path(output).name,
            kind=type(model).__name__,
            parameters=model.count_params(),
            file=pathlib.Path(checkpoint).name,
            sha256=writing.sha256(checkpoint),
            maps="\n".join(f"  - {line}" for line in lines),
        )
        model.save_to_preset(output, card=card)
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"{model.count_params():,} parameters, each taken once")
    print("of a drawn street it gives", *lines, sep="\n  ")
    print(f"wrote {output}, on Keras' {keras.backend.backend()} backend")


def _rename_swin(tensors):
    """Rename the tensors of the original release as in mmsegmentation."""
    renamed = {}
    for name, array in tensors.items():
        for pattern, replacement in _ORIGINAL_SWIN:
            name = re.sub(pattern, replacement, name)
        renamed[name] = array
    return renamed


def _reorder_merging(array, is_original):
    """Order the four merged positions row by row, as `PatchMerging` does.

    The original goes column by column; mmsegmentation has the four positions
    of the first channel, then those of the second, and so on.
    """
    array = np.asarray(array)
    *before, merged = array.shape
    if is_original:
        parts = array.reshape(*before, 2, 2, merged // 4)
        parts = parts.swapaxes(-3, -2)
    else:
        parts = array.reshape(*before, merged // 4, 2, 2)
        parts = np.moveaxis(parts, -3, -1)
    return parts.reshape(array.shape)


def _find_tables(source):
    """Return the shapes of the relative position biases of each stage."""
    pattern = r"stages\.(\d)\.blocks\.\d+\..*relative_position_bias_table"
    shapes = {stage: [] for stage in range(4)}
    for name in source.names():
        if found := re.fullmatch(pattern, name):
            stage = int(found[1])
            shapes.setdefault(stage, []).append(source.shape(name))
    if len(shapes) != 4 or not all(shapes.values()):
        counts = {stage: len(tables) for stage, tables in shapes.items()}
        raise ValueError(
            "The checkpoint must be a Swin Transformer of four stages. "
            f"Received: relative position biases by stage {counts}"
        )
    return shapes


def _require(tensors, name):
    if name not in tensors:
        raise ValueError(
            f"The checkpoint has no tensor `{name}`. Is it of another "
            "architecture, or does it need a prefix? "
            f"Received: {sorted(tensors)}"
        )
    return tensors[name]


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
