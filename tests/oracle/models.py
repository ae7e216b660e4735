"""Backbones, the whole model, and modules by kind of golden file."""

import math

import torch
from mmseg.registry import MODELS
from torch import nn

from tests.oracle import heads
from tests.oracle.discrete_vae import DiscreteVAE

# From prefixes of golden files' names to official module names.
HEADS = {
    "head_ff": heads.FF,
    "head_single_fusion": heads.SINGLE_FUSION,
    "head_ftw": heads.FT_W,
}
BACKBONES = {
    "swin": "SwinTransformer",
    "resnet": "ResNetV1c",
    "hrnet": "HRNet",
}
KINDS = (*HEADS, *BACKBONES, "dalle_vae", "e2e")


class Segmenter(nn.Module):
    """Backbone and head, from normalized photos to class logits.

    Args:
        backbone: Dictionary of an official configuration, with its `type`.
        head: The argument `config` of `Head`.
        vae_config: Arguments of `DiscreteVAE`.
    """

    def __init__(self, backbone, head, vae_config):
        super().__init__()
        self.backbone = build_backbone(backbone)
        self.decode_head = heads.Head(head, vae_config)

    def forward(self, photos):
        """Return logits `(N, K, H, W)` of whole photos `(N, 3, H, W)`."""
        logits = self.decode_head(self.backbone(photos))
        return heads.resize(logits, photos.shape[2:])

    def slide(self, photos, crop_size, stride):
        """Average the logits of sliding windows.

        Args:
            photos: Tensor `(N, 3, H, W)`.
            crop_size: Height and width of a window, in pixels.
            stride: Vertical and horizontal stride of the windows, in pixels.

        Returns:
            Logits `(N, K, H, W)`.
        """
        sums = counts = 0
        for rows in _windows(photos.shape[2], crop_size[0], stride[0]):
            for columns in _windows(photos.shape[3], crop_size[1], stride[1]):
                logits = self(photos[:, :, rows, columns])
                if isinstance(sums, int):
                    size = logits.shape[:2] + photos.shape[2:]
                    sums, counts = torch.zeros(size), torch.zeros(size[2:])
                sums[:, :, rows, columns] += logits
                counts[rows, columns] += 1
        return sums / counts


def _windows(size, crop, stride):
    """Yield the slices of windows along a side, the last one shifted back."""
    count = max(math.ceil((size - crop) / stride), 0) + 1
    for index in range(count):
        end = min(index * stride + crop, size)
        yield slice(max(end - crop, 0), end)


def build_backbone(config):
    """Build a backbone of mmsegmentation from its configuration."""
    # Synchronized batch norm has the same tensors as the default.
    return MODELS.build({n: config[n] for n in config if n != "norm_cfg"})


def build(kind, meta):
    """Build the module of a golden file, in evaluation mode.

    Args:
        kind: One of `KINDS`.
        meta: The file's configuration: `config` of a backbone or tokenizer;
            `config`, `vae_config` of a head; `backbone`, `head`,
            `vae_config` of a whole model.

    Returns:
        A backbone, `DiscreteVAE`, `Head` or `Segmenter`.
    """
    if kind == "e2e":
        arguments = meta["backbone"], meta["head"], meta["vae_config"]
        module = Segmenter(*arguments)
    elif kind == "dalle_vae":
        module = DiscreteVAE(**meta["config"])
    elif kind in HEADS:
        config = {**meta["config"], "type": HEADS[kind]}
        module = heads.Head(config, meta["vae_config"])
    else:
        module = build_backbone({**meta["config"], "type": BACKBONES[kind]})
    # `eval` of backbones returns None, so calls cannot be chained.
    module.eval()
    return module
