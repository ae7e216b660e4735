"""Configurations of the ten published models."""

import json
import pathlib

from tests.oracle.heads import FF, FT_W, SINGLE_FUSION
from tests.oracle.models import Segmenter

_PALETTES = (
    pathlib.Path(__file__)
    .parents[2]
    .joinpath("gss_keras", "maskige", "palettes.json")
)
VAE = {"n_hid": 256, "n_init": 128, "vocab_size": 8192, "n_blk_per_group": 2}
_SYNCHRONIZED = {"type": "SyncBN", "requires_grad": True}
_SIZES = {"cityscapes": 768, "ade20k": 512, "mseg": 512}
_BACKBONES = {
    "resnet101": {
        "type": "ResNetV1c",
        "depth": 101,
        "num_stages": 4,
        "out_indices": (0, 1, 2, 3),
        "dilations": (1, 1, 2, 4),
        "strides": (1, 2, 1, 1),
        "norm_cfg": _SYNCHRONIZED,
        "norm_eval": False,
        "style": "pytorch",
        "contract_dilation": True,
    },
    "swin_large": {
        "type": "SwinTransformer",
        "pretrain_img_size": 384,
        "embed_dims": 192,
        "patch_size": 4,
        "window_size": 12,
        "mlp_ratio": 4,
        "depths": (2, 2, 18, 2),
        "num_heads": (6, 12, 24, 48),
        "drop_path_rate": 0.3,
    },
    "hrnet_w48": {
        "type": "HRNet",
        "norm_cfg": _SYNCHRONIZED,
        "norm_eval": False,
        "extra": {
            f"stage{branches}": {
                "num_modules": modules,
                "num_branches": branches,
                "block": "BASIC" if branches > 1 else "BOTTLENECK",
                "num_blocks": (4,) * branches,
                "num_channels": (48, 96, 192, 384)[:branches]
                if branches > 1
                else (64,),
            }
            for branches, modules in enumerate((1, 1, 4, 3), start=1)
        },
    },
}
# Channels at strides 8, 4, 16 and 32, in the order of the heads' lists.
_CHANNELS = {
    "resnet101": [512, 256, 1024, 2048],
    "swin_large": [384, 192, 768, 1536],
    "hrnet_w48": [96, 48, 192, 384],
}
_ROWS = [
    ("resnet101", "cityscapes"),
    ("swin_large", "cityscapes"),
    ("swin_large", "ade20k"),
    ("swin_large", "mseg"),
    ("hrnet_w48", "mseg"),
]
RELEASED = {
    f"gss_{variant}_{backbone}_{dataset}": (variant, backbone, dataset)
    for variant in ("ff", "ft_w")
    for backbone, dataset in _ROWS
}


def palette_of(dataset):
    """Return a dataset's palette, with the color of ignored pixels last."""
    entry = json.loads(_PALETTES.read_text(encoding="utf-8"))[dataset]
    return [*entry["colors"], entry["ignore_color"]]


def released(name):
    """Return the configuration of a published model.

    Args:
        name: One of `RELEASED`.

    Returns:
        A dictionary of the arguments of `Segmenter`.

    Raises:
        ValueError: If there is no such model.
    """
    if name not in RELEASED:
        raise ValueError(
            f"`name` must be one of {list(RELEASED)}. Received: name={name!r}"
        )
    variant, backbone, dataset = RELEASED[name]
    palette = palette_of(dataset)
    head = {
        "type": SINGLE_FUSION if dataset == "mseg" else FF,
        "in_channels": _CHANNELS[backbone],
        "in_index": [1, 0, 2, 3],
        "img_size": (_SIZES[dataset], _SIZES[dataset]),
        "channels": 384,
        "dropout_ratio": 0.1,
        "num_classes": len(palette) - 1,
        "palette": palette,
        "norm_cfg": _SYNCHRONIZED,
        "align_corners": False,
        "indice_seg_channel": 512,
        "indice_cls_channel": 2048,
        "swin_depth": 2 if backbone == "swin_large" else 6,
    }
    if variant == "ft_w":
        head |= {
            "type": FT_W,
            "post_seg_channel": 128,
            "post_swin_num_head": 4,
            "post_swin_depth": 1 if dataset == "cityscapes" else 2,
            "post_swin_window_size": 7,
        }
    return {"backbone": _BACKBONES[backbone], "head": head, "vae_config": VAE}


def _as_text(value):
    """Format a value as in a configuration file of mmsegmentation."""
    if isinstance(value, dict):
        pairs = (f"{name}={_as_text(value[name])}" for name in value)
        return f"dict({', '.join(pairs)})"
    return repr(value)


def describe(name):
    """Return the metadata in a published model's checkpoint.

    Args:
        name: One of `RELEASED`.

    Returns:
        A dictionary with the configuration as text, `CLASSES`, `PALETTE`.
    """
    arguments = released(name)
    windows = {"mode": "slide", "crop_size": (768, 768), "stride": (512, 512)}
    model = {
        "type": "EncoderDecoder",
        "pretrained": None,
        "backbone": arguments["backbone"],
        "decode_head": arguments["head"],
        "train_cfg": {},
        "test_cfg": {"mode": "whole"} if "ade20k" in name else windows,
    }
    colors = arguments["head"]["palette"][:-1]
    return {
        "mmseg_version": "0.20.2",
        "config": f"norm_cfg = {_as_text(_SYNCHRONIZED)}\n"
        f"model = {_as_text(model)}\ndata = dict(samples_per_gpu=2)\n",
        "CLASSES": [f"class {index}" for index in range(len(colors))],
        "PALETTE": colors,
    }


def parameters():
    """Print the number of trainable parameters of each published model."""
    # The frozen tokenizer does not count, so a small one suffices.
    small = {**VAE, "n_hid": 4, "n_init": 8}
    for name in RELEASED:
        model = Segmenter(**{**released(name), "vae_config": small})
        backbone, head = (
            sum(p.numel() for p in part.parameters() if p.requires_grad)
            for part in (model.backbone, model.decode_head)
        )
        print(f"{name:<32}backbone {backbone:>12,} head {head:>12,}")
    return 0
