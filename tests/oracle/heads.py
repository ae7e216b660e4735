"""The three heads, from a backbone's feature maps to class logits."""

import torch
from mmcv.cnn import ConvModule
from mmseg.models.backbones.swin import SwinBlockSequence
from torch import nn
from torch.nn import functional

from tests.oracle.discrete_vae import DiscreteVAE

FF = "GenerativeSegHeadFF"
SINGLE_FUSION = "GenerativeSegHeadFFSingleFusion"
FT_W = "GenerativeSegHeadFTW"
IGNORE = 255


def resize(maps, size):
    """Resize feature maps bilinearly with half-pixel centers."""
    return functional.interpolate(
        maps, size=tuple(size), mode="bilinear", align_corners=False
    )


def squared_distances(maskiges, palette):
    """Return squared distances `(N, rows, H, W)` of pixels to the palette."""
    return torch.stack(
        [(maskiges - color.view(3, 1, 1)).square().sum(1) for color in palette],
        dim=1,
    )


def margin(scores):
    """Return the difference of the two best scores at each position."""
    best = scores.topk(2, dim=1).values
    return best[:, 0] - best[:, 1]


def _convolution(inputs, outputs):
    """Return a 1x1 convolution without bias, batch norm and ReLU."""
    return ConvModule(
        inputs,
        outputs,
        1,
        norm_cfg={"type": "BN", "requires_grad": True},
    )


def _projections(levels, channels):
    return nn.ModuleList(_convolution(level, channels) for level in levels)


def _swin_blocks(width, heads, depth, window):
    return SwinBlockSequence(
        embed_dims=width,
        num_heads=heads,
        feedforward_channels=2 * width,
        depth=depth,
        window_size=window,
    )


def _transform(blocks, norm, maps):
    """Apply Swin blocks and a norm; also return the blocks' output tokens."""
    height, width = maps.shape[2:]
    tokens = blocks(maps.flatten(2).transpose(1, 2), (height, width))[0]
    normed = norm(tokens).transpose(1, 2)
    return normed.unflatten(2, (height, width)), tokens


class Head(nn.Module):
    """Head from feature maps to token logits, maskiges and class logits.

    Submodules are named as in the release's state dicts.

    Args:
        config: Dictionary of an official configuration; its `type` is
            `FF`, `SINGLE_FUSION` or `FT_W`.
        vae_config: Arguments of `DiscreteVAE`.
    """

    def __init__(self, config, vae_config):
        super().__init__()
        self.variant = config["type"]
        self.in_index = config["in_index"]
        self.num_classes = config["num_classes"]
        palette = torch.tensor(config["palette"], dtype=torch.float32)
        self.register_buffer("palette", palette, persistent=False)
        self._build_prior(config, vae_config)
        if self.variant == FT_W:
            self._build_inverse(config)
        else:
            self._build_auxiliary(config)

    def _build_prior(self, config, vae_config):
        levels, channels = config["in_channels"], config["channels"]
        width, wide = config["indice_seg_channel"], config["indice_cls_channel"]
        self.convs = _projections(levels, channels)
        self.fusion_conv = _convolution(channels * len(levels), width)
        self.transformer_block = _swin_blocks(
            width,
            config.get("swin_num_head", 16),
            config.get("swin_depth", 2),
            config.get("swin_window_size", 7),
        )
        self.swin_ln = nn.LayerNorm(width)
        self.conv_before_seg = _convolution(width, wide)
        self.dropout = nn.Dropout2d(config.get("dropout_ratio", 0.1))
        self.d_vae = DiscreteVAE(**vae_config)
        self.conv_seg = nn.Conv2d(wide, self.d_vae.vocab_size, 1)

    def _build_auxiliary(self, config):
        levels, channels = config["in_channels"], config["channels"]
        width = config["indice_seg_channel"]
        if self.variant == FF:
            self.convs_pixel = _projections(levels, channels)
            self.fusion_conv_pixel = _convolution(
                channels * len(levels), channels
            )
            width = channels
        self.conv_seg_pixel = nn.Conv2d(width, self.num_classes, 1)

    def _build_inverse(self, config):
        width = config.get("post_seg_channel", 128)
        self.projection = _convolution(3, width)
        self.post_transformer_block = _swin_blocks(
            width,
            config.get("post_swin_num_head", 4),
            config.get("post_swin_depth", 2),
            config.get("post_swin_window_size", 7),
        )
        self.post_swin_ln = nn.LayerNorm(width)
        self.cls_segmap = ConvModule(width, self.num_classes, 1, act_cfg=None)

    def _fuse(self, features, projections, fusion):
        levels = [features[index] for index in self.in_index]
        # The release hard-codes list index 1 as the feature map of stride 4.
        size = levels[1].shape[2:]
        projected = [
            resize(project(level), size)
            for project, level in zip(projections, levels, strict=True)
        ]
        return fusion(torch.cat(projected, dim=1))

    def prior(self, features):
        """Return the fused features, the Swin blocks' output, token logits."""
        fused = self._fuse(features, self.convs, self.fusion_conv)
        maps, tokens = _transform(self.transformer_block, self.swin_ln, fused)
        logits = self.conv_seg(self.dropout(self.conv_before_seg(maps)))
        return fused, tokens, logits

    def pixel_logits(self, features, fused):
        """Return the auxiliary head's class logits at stride 4."""
        if self.variant == FF:
            fused = self._fuse(
                features, self.convs_pixel, self.fusion_conv_pixel
            )
        return self.conv_seg_pixel(fused)

    def project(self, maskiges):
        """Project maskiges in 0-255 to FT-W's feature map `(N, C, H, W)`."""
        return self.projection(maskiges / 255)

    def inverse(self, maskiges):
        """Return class logits `(N, K, H, W)` of maskiges in 0-255."""
        if self.variant == FT_W:
            maps, _ = _transform(
                self.post_transformer_block,
                self.post_swin_ln,
                self.project(maskiges),
            )
            return self.cls_segmap(maps)
        classes = squared_distances(maskiges, self.palette[:-1]).argmin(1)
        one_hot = functional.one_hot(classes, self.num_classes)
        return one_hot.permute(0, 3, 1, 2).float()

    def decode(self, tokens):
        """Decode tokens `(N, h, w)` to maskiges in 0-255."""
        return 255 * self.d_vae.decode(tokens)

    def forward(self, features):
        """Return class logits at the maskige's resolution."""
        _, _, logits = self.prior(features)
        return self.inverse(self.decode(logits.argmax(1)))
