"""Names the layers of our backbones as mmsegmentation names its tensors."""

import re

from gss_keras.backbones import HRNetV2, ResNetV1c, SwinTransformer
from gss_keras.backbones.resnet_v1c import BLOCKS


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
    blocks = [count(names, r"layer1\.(\d+)\.")]
    blocks += [
        count(names, rf"stage{n}\.0\.branches\.0\.(\d+)\.") for n in stages
    ]
    modules = [count(names, rf"stage{n}\.(\d+)\.") for n in stages]
    return {"modules": modules, "blocks": blocks}


def count(names, pattern):
    """Counts the numbers that a pattern finds in some names."""
    found = (re.match(pattern, name) for name in names)
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
