"""Converts published PyTorch backbones into presets.

`pip install "gss-keras[conversion]"`, then, for example,

    python -m weights_conversion.backbones --architecture swin \
        --checkpoint swin_large_patch4_window12_384_22k.pth --output swin_large

Swin Transformers in the layout of mmsegmentation and in that of the original
release, ResNet-V1c and HRNet in the layout of mmsegmentation. All sizes are
read off the tensors. A segmenter's checkpoint needs `--prefix backbone.`.
"""

import pathlib
import re
import sys
from typing import Literal

import keras
import numpy as np

from gss_keras.backbones import HRNetV2, ResNetV1c, SwinTransformer
from gss_keras.backbones.resnet_v1c import BLOCKS
from weights_conversion import porting

# Of a classifier: no feature map needs them.
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


def select(tensors, prefix):
    """Picks a part of a checkpoint, such as the backbone of a segmenter.

    Args:
        tensors: A dict from name to array.
        prefix: Start of the names that are wanted, such as `backbone.`.

    Returns:
        A dict of the tensors whose name starts so, without that start.

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
    """Builds a Swin Transformer with the weights of a checkpoint.

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
    """Builds a ResNet-V1c with the weights of a checkpoint.

    Args:
        tensors: A dict from name to array, in the layout of mmsegmentation.
        **kwargs: Further constructor arguments: strides and dilations do not
            show in the weights.

    Returns:
        A `ResNetV1c`.

    Raises:
        ValueError: If a tensor is missing, left over or of another shape.
    """
    blocks = [_count(tensors, rf"layer{n}\.(\d+)\.") for n in range(1, 5)]
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
    """Builds an HRNetV2 with the weights of a checkpoint.

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


def layers_of(backbone):
    """Lists the layers of a backbone by mmsegmentation's names.

    Args:
        backbone: A `SwinTransformer`, `ResNetV1c` or `HRNetV2`.

    Returns:
        A dict from prefix to layer, as `porting.port_layers` takes it.
    """
    list_layers = {
        SwinTransformer: _swin_layers,
        ResNetV1c: _resnet_layers,
        HRNetV2: _hrnet_layers,
    }[type(backbone)]
    return list_layers(backbone)


def depth_of(blocks):
    """Finds the ResNet that has so many blocks in its stages.

    Raises:
        ValueError: If there is none.
    """
    depths = {blocks: depth for depth, blocks in BLOCKS.items()}
    if tuple(blocks) not in depths:
        raise ValueError(
            "The checkpoint must be a ResNet-V1c with one of the blocks per "
            f"stage {list(depths)}. Received: {tuple(blocks)}"
        )
    return depths[tuple(blocks)]


def hrnet_depths(names):
    """Reads how many modules and blocks an HRNet has off its tensors' names.

    Args:
        names: The names, without prefix.

    Returns:
        A dict of arguments of `HRNetV2`.
    """
    stages = (2, 3, 4)
    blocks = [_count(names, r"layer1\.(\d+)\.")]
    blocks += [
        _count(names, rf"stage{n}\.0\.branches\.0\.(\d+)\.") for n in stages
    ]
    modules = [_count(names, rf"stage{n}\.(\d+)\.") for n in stages]
    return {"modules": modules, "blocks": blocks}


def main(
    architecture: Literal["swin", "resnet_v1c", "hrnet"],
    checkpoint: pathlib.Path,
    output: pathlib.Path,
    prefix: str = "",
):
    """Converts a published PyTorch backbone into a preset.

    Args:
        architecture: Which kind of backbone it is.
        checkpoint: The PyTorch file.
        output: Folder to write the preset into.
        prefix: What the names of the backbone's tensors start with:
            `backbone.` in a segmenter's checkpoint.
    """
    convert = {
        "swin": convert_swin,
        "resnet_v1c": convert_resnet_v1c,
        "hrnet": convert_hrnet,
    }[architecture]
    try:
        from weights_conversion.checkpoints import read_checkpoint

        model = convert(select(read_checkpoint(checkpoint), prefix))
        model.save_to_preset(output)
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"wrote {output}, on Keras' {keras.backend.backend()} backend")


def _rename_swin(tensors):
    """Gives the tensors of the original release mmsegmentation's names."""
    renamed = {}
    for name, array in tensors.items():
        for pattern, replacement in _ORIGINAL_SWIN:
            name = re.sub(pattern, replacement, name)
        renamed[name] = array
    return renamed


def _reorder_merging(array, is_original):
    """Puts four merged positions side by side row by row, as `PatchMerging`.

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
    """Finds the shapes of the relative position biases of each stage."""
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


def _count(tensors, pattern):
    """Counts the numbers that a pattern finds in the tensors' names."""
    found = (re.match(pattern, name) for name in tensors)
    return len({match[1] for match in found if match})


def _swin_layers(model):
    layers = {
        "patch_embed.projection": model.get_layer("patch_embedding"),
        "patch_embed.norm": model.get_layer("patch_norm"),
    }
    for stage, depth in enumerate(model.get_config()["depths"]):
        theirs = f"stages.{stage}"
        for index in range(depth):
            block = model.get_layer(f"stage_{stage}_block_{index}")
            layers |= swin_block_layers(block, f"{theirs}.blocks.{index}")
        if stage < 3:
            merging = model.get_layer(f"merging_{stage + 1}")
            layers[f"{theirs}.downsample.norm"] = merging.norm
            layers[f"{theirs}.downsample.reduction"] = merging.reduction
        layers[f"norm{stage}"] = model.get_layer(f"level_norm_{stage}")
    return layers


def swin_block_layers(block, prefix):
    """Lists the layers of a `SwinBlock` by mmsegmentation's names.

    Args:
        block: A `SwinBlock`.
        prefix: Name of the block in the checkpoint.

    Returns:
        A dict from prefix to layer, as `porting.port_layers` takes it.
    """
    attention = block.attention
    return {
        f"{prefix}.norm1": block.attention_norm,
        f"{prefix}.attn.w_msa": attention,
        f"{prefix}.attn.w_msa.qkv": attention.query_key_value,
        f"{prefix}.attn.w_msa.proj": attention.projection,
        f"{prefix}.norm2": block.perceptron_norm,
        f"{prefix}.ffn.layers.0.0": block.expand,
        f"{prefix}.ffn.layers.1": block.reduce,
    }


def _resnet_layers(model):
    layers = {}
    for index in range(3):
        block = model.get_layer(f"stem_{index}")
        layers[f"stem.{3 * index}"] = block.convolution
        layers[f"stem.{3 * index + 1}"] = block.norm
    for stage, count in enumerate(BLOCKS[model.get_config()["depth"]]):
        for index in range(count):
            layers |= _residual_layers(
                model,
                f"layer{stage + 1}.{index}",
                f"stage_{stage}_block_{index}",
            )
    return layers


def _residual_layers(model, theirs, ours):
    """Lists the layers of a basic or bottleneck block by mmseg's names."""
    layers = {}
    names = {layer.name for layer in model.layers}
    for number in (1, 2, 3):
        if (name := f"{ours}_conv_{number}") in names:
            block = model.get_layer(name)
            layers[f"{theirs}.conv{number}"] = block.convolution
            layers[f"{theirs}.bn{number}"] = block.norm
    if (name := f"{ours}_shortcut") in names:
        layers |= _numbered_layers(model, f"{theirs}.downsample", name)
    return layers


def _numbered_layers(model, theirs, ours):
    block = model.get_layer(ours)
    return {f"{theirs}.0": block.convolution, f"{theirs}.1": block.norm}


def _hrnet_layers(model):
    """Lists all layers of an `HRNetV2` by mmsegmentation's names."""
    layers = {}
    for layer in model.layers:
        name = layer.name
        if found := re.fullmatch(r"stem_(\d)", name):
            number = int(found[1]) + 1
            layers[f"conv{number}"] = layer.convolution
            layers[f"bn{number}"] = layer.norm
        elif found := re.fullmatch(r"(stage_0_block_(\d+))_conv_1", name):
            layers |= _residual_layers(model, f"layer1.{found[2]}", found[1])
        elif found := re.fullmatch(r"stage_(\d)_transition_(\d)", name):
            stage, branch = map(int, found.groups())
            nested = ".0" if branch == stage else ""
            theirs = f"transition{stage}.{branch}{nested}"
            layers |= _numbered_layers(model, theirs, name)
        else:
            layers |= _module_layers(model, name)
    return layers


def _module_layers(model, name):
    module = re.match(r"stage_(\d)_module_(\d+)_", name)
    if not module:
        return {}
    theirs = f"stage{int(module[1]) + 1}.{module[2]}"
    rest = name[module.end() :]
    if found := re.fullmatch(r"branch_(\d)_block_(\d+)_conv_1", rest):
        return _residual_layers(
            model,
            f"{theirs}.branches.{found[1]}.{found[2]}",
            name.removesuffix("_conv_1"),
        )
    if found := re.fullmatch(r"fuse_(\d)_to_(\d)_conv_(\d)", rest):
        start, to, step = found.groups()
        nested = f".{step}" if start < to else ""
        return _numbered_layers(
            model, f"{theirs}.fuse_layers.{to}.{start}{nested}", name
        )
    return {}
