"""Layers of our backbones by mmsegmentation's names of tensors."""

import re

from gss_keras.backbones import HRNetV2, ResNetV1c, SwinTransformer
from gss_keras.backbones.resnet_v1c import BLOCKS


def layers_of(backbone):
    """Return the layers of a backbone by mmsegmentation's names.

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
    """Return the depth of the ResNet with these numbers of blocks.

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
    """Infer the numbers of modules and blocks from an HRNet's tensors.

    Args:
        names: Names of the tensors, without prefix.

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
    """Count the distinct first groups that a pattern matches in names."""
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
    """Return the layers of a `SwinBlock` by mmsegmentation's names.

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
        f"{prefix}.norm2": block.mlp_norm,
        f"{prefix}.ffn.layers.0.0": block.expand,
        f"{prefix}.ffn.layers.1": block.reduce,
    }


def _resnet_layers(model):
    layers = {}
    for index, conv in enumerate(model.stem):
        layers[f"stem.{3 * index}"] = conv.convolution
        layers[f"stem.{3 * index + 1}"] = conv.norm
    for block in model.blocks:
        stage, index = re.fullmatch(
            r"stage_(\d)_block_(\d+)", block.name
        ).groups()
        layers |= _residual_layers(f"layer{int(stage) + 1}.{index}", block)
    return layers


def _residual_layers(prefix, block):
    """Return the layers of a basic or bottleneck block by mmseg's names."""
    layers = {}
    for number in (1, 2, 3):
        if conv := getattr(block, f"conv_{number}", None):
            layers[f"{prefix}.conv{number}"] = conv.convolution
            layers[f"{prefix}.bn{number}"] = conv.norm
    if shortcut := getattr(block, "shortcut", None):
        layers |= _numbered_layers(f"{prefix}.downsample", shortcut)
    return layers


def _numbered_layers(prefix, conv):
    return {f"{prefix}.0": conv.convolution, f"{prefix}.1": conv.norm}


def _hrnet_layers(model):
    layers = {}
    for index, conv in enumerate(model.stem, start=1):
        layers[f"conv{index}"] = conv.convolution
        layers[f"bn{index}"] = conv.norm
    for index, block in enumerate(model.first_stage):
        layers |= _residual_layers(f"layer1.{index}", block)
    for stage in model.stages:
        if found := re.fullmatch(r"stage_(\d)_transition", stage.name):
            layers |= _transition_layers(stage, int(found[1]))
        else:
            layers |= _module_layers(stage)
    return layers


def _transition_layers(transition, stage):
    layers = {}
    for branch, conv in enumerate(transition.convs):
        # mmsegmentation wraps the convolution of a new branch once more.
        nested = ".0" if branch == stage else ""
        if conv:
            prefix = f"transition{stage}.{branch}{nested}"
            layers |= _numbered_layers(prefix, conv)
    return layers


def _module_layers(module):
    stage, number = re.fullmatch(
        r"stage_(\d)_module_(\d+)", module.name
    ).groups()
    prefix, layers = f"stage{int(stage) + 1}.{number}", {}
    for block in module.basic_blocks:
        branch, index = re.fullmatch(
            r"branch_(\d)_block_(\d+)", block.name
        ).groups()
        layers |= _residual_layers(f"{prefix}.branches.{branch}.{index}", block)
    for target, fusion in enumerate(module.fusions):
        for source, resampling in enumerate(fusion.resamplings):
            for step, conv in enumerate(resampling.convs if resampling else ()):
                nested = f".{step}" if source < target else ""
                theirs = f"{prefix}.fuse_layers.{target}.{source}{nested}"
                layers |= _numbered_layers(theirs, conv)
    return layers
