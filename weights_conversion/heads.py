"""Moves the official heads' tensors into the prior and the window inverse."""

import numpy as np
from keras import ops

from weights_conversion import porting
from weights_conversion.backbones import swin_block_layers

# The release fuses levels in the order of strides 8, 4, 16, 32: where each of
# strides 4, 8, 16, 32 stands in it.
_PLACES = (1, 0, 2, 3)


def port_prior_head(source, prior):
    """Fills everything of a `LatentPrior` but its backbone and posterior.

    Takes the tensors of `GenerativeSegHeadFF` or, for a prior without a pixel
    fusion of its own, of `GenerativeSegHeadFFSingleFusion`.

    Args:
        source: A `porting.Source` of the head's tensors, without prefix.
        prior: The `LatentPrior` of the same sizes.

    Raises:
        ValueError: If a tensor is missing or of another shape.
    """
    _port_fusion(source, "convs", "fusion_conv", prior.fusion)
    if prior.pixel_fusion:
        _port_fusion(
            source, "convs_pixel", "fusion_conv_pixel", prior.pixel_fusion
        )
    for index, block in enumerate(prior.blocks):
        _port_swin_block(source, f"transformer_block.blocks.{index}", block)
    porting.port_layer(source, "swin_ln", prior.norm)
    _port_projection(source, "conv_before_seg", prior.projection)
    porting.port_layer(source, "conv_seg", prior.vocabulary)
    if prior.pixel_classifier:
        porting.port_layer(source, "conv_seg_pixel", prior.pixel_classifier)


def port_window_inverse(source, inverse):
    """Fills a `WindowInverse` with the tensors of the release's FT-W head.

    Args:
        source: A `porting.Source` of the head's tensors, without prefix.
        inverse: The `WindowInverse` of the same sizes.

    Raises:
        ValueError: If a tensor is missing or of another shape.
    """
    _port_projection(source, "projection", inverse.projection)
    for index, block in enumerate(inverse.blocks):
        _port_swin_block(
            source, f"post_transformer_block.blocks.{index}", block
        )
    porting.port_layer(source, "post_swin_ln", inverse.norm)
    porting.port_layer(source, "cls_segmap.conv", inverse.classifier)


def _port_swin_block(source, prefix, block):
    for name, layer in swin_block_layers(block, prefix).items():
        porting.port_layer(source, name, layer)
    source.discard_matching(f"{prefix}.attn.w_msa.relative_position_index")


def _port_projection(source, prefix, block):
    porting.port_layer(source, f"{prefix}.conv", block.convolution)
    porting.port_layer(source, f"{prefix}.bn", block.norm)


def _port_fusion(source, levels, fuse, fusion):
    for projection, place in zip(fusion.projections, _PLACES, strict=True):
        _port_projection(source, f"{levels}.{place}", projection)
    _port_projection(source, fuse, fusion.fuse)
    kernel = fusion.fuse.convolution.kernel
    parts = np.split(ops.convert_to_numpy(kernel), len(_PLACES))
    kernel.assign(np.concatenate([parts[place] for place in _PLACES]))
