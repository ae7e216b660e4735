"""Port the official heads' tensors to the prior and the window inverse."""

import re

import numpy as np

from weights_conversion import porting
from weights_conversion.backbone_layers import swin_block_layers

# The release fuses the levels of strides 4, 8, 16, 32 in this order.
IN_INDEX = (1, 0, 2, 3)


def order_levels(tensors, in_index=IN_INDEX):
    """Reorder a head's tensors from the release's order of levels to ours.

    Afterwards `convs.0` is the projection of the finest level, and the
    channels that the fusion reads are in the same order.

    Args:
        tensors: A dict from name, without prefix, to array.
        in_index: Level at each place of the release's order.

    Returns:
        A dict of the same names.

    Raises:
        ValueError: If `in_index` does not name each level once.
    """
    if sorted(in_index) != [0, 1, 2, 3]:
        raise ValueError(
            "`in_index` must name each of the four levels once. "
            f"Received: in_index={in_index}"
        )
    ordered = {}
    for name, array in tensors.items():
        if found := re.match(r"(convs|convs_pixel)\.(\d)\.", name):
            level = in_index[int(found[2])]
            name = f"{found[1]}.{level}.{name[found.end() :]}"
        elif re.fullmatch(r"fusion_conv(_pixel)?\.conv\.weight", name):
            parts = np.split(np.asarray(array), len(in_index), axis=1)
            places = np.argsort(in_index)
            array = np.concatenate([parts[place] for place in places], axis=1)
        ordered[name] = array
    return ordered


def prior_sizes(tensors):
    """Infer the arguments of a `LatentPrior` from a head's tensors.

    Args:
        tensors: A dict from name, without prefix, to array.

    Returns:
        A dict of those arguments that the tensors determine.

    Raises:
        ValueError: If a tensor that determines a size is missing.
    """
    branch = None
    if "conv_seg_pixel.weight" in tensors:
        is_separate = "fusion_conv_pixel.conv.weight" in tensors
        branch = "separate" if is_separate else "shared"
    return {
        "level_channels": _rows(tensors, "convs.0.conv.weight"),
        "channels": _rows(tensors, "fusion_conv.conv.weight"),
        **_block_sizes(tensors, "transformer_block"),
        "projection": _rows(tensors, "conv_before_seg.conv.weight"),
        "pixel_branch": branch,
    }


def inverse_sizes(tensors):
    """Infer the arguments of a `WindowInverse` from a head's tensors.

    Args:
        tensors: A dict from name, without prefix, to array.

    Returns:
        A dict of arguments, None if the head has no learned inverse.

    Raises:
        ValueError: If a tensor that determines a size is missing.
    """
    if "cls_segmap.conv.weight" not in tensors:
        return None
    return {
        "num_classes": _rows(tensors, "cls_segmap.conv.weight"),
        "channels": _rows(tensors, "projection.conv.weight"),
        **_block_sizes(tensors, "post_transformer_block"),
    }


def prior_layers(prior):
    """Return the layers of a `LatentPrior` except backbone and posterior.

    Args:
        prior: The `LatentPrior`.

    Returns:
        A dict from the prefix of the tensors, after `order_levels`, to
        layer, as `porting.port_layers` takes it.
    """
    layers = _fusion_layers(prior.fusion, "")
    for index, block in enumerate(prior.blocks):
        layers |= swin_block_layers(block, f"transformer_block.blocks.{index}")
    layers["swin_ln"] = prior.norm
    layers |= _projection_layers(prior.projection, "conv_before_seg")
    layers["conv_seg"] = prior.vocabulary
    if prior.pixel_fusion:
        layers |= _fusion_layers(prior.pixel_fusion, "_pixel")
    if prior.pixel_classifier:
        layers["conv_seg_pixel"] = prior.pixel_classifier
    return layers


def inverse_layers(inverse):
    """Return the layers of a `WindowInverse` by the release's FT-W names.

    Args:
        inverse: The `WindowInverse`.

    Returns:
        A dict from prefix to layer, as `porting.port_layers` takes it.
    """
    layers = _projection_layers(inverse.projection, "projection")
    for index, block in enumerate(inverse.blocks):
        layers |= swin_block_layers(
            block, f"post_transformer_block.blocks.{index}"
        )
    layers["post_swin_ln"] = inverse.norm
    layers["cls_segmap.conv"] = inverse.classifier
    return layers


def _projection_layers(block, prefix):
    return {f"{prefix}.conv": block.convolution, f"{prefix}.bn": block.norm}


def _fusion_layers(fusion, suffix):
    layers = {}
    for level, projection in enumerate(fusion.projections):
        layers |= _projection_layers(projection, f"convs{suffix}.{level}")
    return layers | _projection_layers(fusion.fuse, f"fusion_conv{suffix}")


def _block_sizes(tensors, prefix):
    table = rf"{prefix}\.blocks\.\d+\.attn\.w_msa\.relative_position_bias_table"
    shapes = [
        np.shape(tensor)
        for name, tensor in tensors.items()
        if re.fullmatch(table, name)
    ]
    if not shapes:
        raise ValueError(
            f"The head must have attention blocks `{prefix}.blocks`. "
            f"Received: {sorted(tensors)}"
        )
    return {
        "depth": len(shapes),
        "heads": shapes[0][1],
        "window": porting.window_of(shapes[0]),
    }


def _rows(tensors, name):
    if name not in tensors:
        raise ValueError(
            f"The head must have a tensor `{name}`. Received: {sorted(tensors)}"
        )
    return len(tensors[name])
