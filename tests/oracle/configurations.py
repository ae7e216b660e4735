"""Random configurations, with sizes of photos to run them on."""

import numpy as np

from tests.oracle.models import BACKBONES, HEADS

_NORM = {"type": "BN", "requires_grad": True}


def draw_part(rng, kind):
    """Sample the configuration of a tokenizer, a backbone or a head.

    Args:
        rng: NumPy generator.
        kind: One of `KINDS` except `e2e`.

    Returns:
        The arguments `meta` and `shapes` of `write_golden`.
    """
    if kind in HEADS:
        return _draw_head_part(rng, kind)
    if kind == "dalle_vae":
        config = _draw_tokenizer(rng) | {"n_hid": int(rng.choice([16, 28, 32]))}
        sizes = [_draw_size(rng, 32, 64, multiple=8) for _ in range(2)]
        return {"config": config}, {"sq": (1, sizes[0]), "rect": (1, sizes[1])}
    config, _ = _draw_backbone(rng, kind)
    sizes = [_draw_size(rng, 40, 110) for _ in range(2)]
    second = "b" if kind == "swin" else "odd"
    return {"config": config}, {"a": (2, sizes[0]), second: (1, sizes[1])}


def _draw_head_part(rng, kind):
    config = _draw_head(rng, kind, rng.integers(6, 36, 4).tolist())
    del config["type"]
    meta = {"config": config, "vae_config": _draw_tokenizer(rng)}
    vocabulary = meta["vae_config"]["vocab_size"]
    is_large = config["num_classes"] > 19 or vocabulary > 512
    largest = 40 if is_large else 60
    size = _draw_size(rng, 32, largest, multiple=4)
    shapes = {"test": (1 if is_large else 2, size)}
    return meta, shapes | {"test_odd": (1, _draw_size(rng, 25, largest))}


def draw_model(rng, backbone, head):
    """Sample the configuration of a whole model.

    Args:
        rng: NumPy generator.
        backbone: One of `BACKBONES`.
        head: One of `HEADS`.

    Returns:
        The arguments `meta` and `shapes` of `write_golden`.
    """
    config, levels = _draw_backbone(rng, backbone)
    head = _draw_head(rng, head, levels)
    meta = {
        "backbone": {"type": BACKBONES[backbone], **config},
        "head": head,
        "vae_config": _draw_tokenizer(rng),
        "slide": {
            "crop_size": _draw_size(rng, 32, 56),
            "stride": _draw_size(rng, 20, 32),
        },
    }
    largest = 60 if head["num_classes"] > 19 else 90
    sizes = [_draw_size(rng, 40, largest) for _ in range(2)]
    return meta, {"whole": (1, sizes[0]), "slide": (1, sizes[1])}


def _draw_size(rng, smallest, largest, multiple=1):
    sides = rng.integers(smallest // multiple, largest // multiple + 1, 2)
    return tuple((multiple * sides).tolist())


def _draw_tokenizer(rng):
    return {
        "n_hid": int(rng.choice([12, 16, 20, 24])),
        "n_init": int(rng.choice([8, 12, 24])),
        "vocab_size": int(rng.choice([128, 300, 512, 1000])),
        "n_blk_per_group": int(rng.integers(1, 4)),
    }


def _draw_palette(rng, num_classes):
    """Sample distinct colors, with the color of ignored pixels last."""
    cells = rng.permutation(125)[: num_classes + 1]
    grid = np.stack([cells // 25, cells // 5 % 5, cells % 5], axis=1)
    return np.minimum(60 * grid + rng.integers(0, 16, grid.shape), 255).tolist()


def _loss(weight, **name):
    loss = {"type": "CrossEntropyLoss", "use_sigmoid": False}
    return loss | {"loss_weight": weight, **name}


def _draw_width(rng, heads, choices):
    """Sample a width of Swin blocks: at least 8, and a multiple of heads."""
    # A layer norm over fewer channels amplifies rounding errors too much.
    minimum = -(-8 // heads)
    return heads * max(int(rng.choice(choices)), minimum)


def _draw_head(rng, kind, levels):
    """Sample a head's configuration for feature maps of these channels."""
    heads, post_heads = (int(n) for n in rng.choice([1, 2, 3, 4, 8], 2))
    num_classes = int(rng.choice([2, 3, 5, 11, 19, 26, 40]))
    config = {
        "type": HEADS[kind],
        "in_channels": [levels[1], levels[0], *levels[2:]],
        "in_index": [1, 0, 2, 3],
        "channels": int(rng.integers(6, 24)),
        "dropout_ratio": 0.1,
        "img_size": [64, 64],
        "norm_cfg": _NORM,
        "align_corners": False,
        "num_classes": num_classes,
        "palette": _draw_palette(rng, num_classes),
        "indice_channel_index": 1,
        "pixel_channel_index": 1,
        "indice_seg_channel": _draw_width(rng, heads, [5, 6, 8]),
        "indice_cls_channel": int(rng.integers(24, 72)),
        "swin_num_head": heads,
        "swin_depth": int(rng.integers(1, 6)),
        "swin_window_size": int(rng.integers(3, 10)),
        "loss_decode": [
            _loss(0.8, loss_name="loss_ce"),
            _loss(0.2, loss_name="loss_ce_pixel"),
        ],
    }
    if kind == "head_ftw":
        config |= {
            "post_seg_channel": _draw_width(rng, post_heads, [3, 4, 6]),
            "post_swin_num_head": post_heads,
            "post_swin_depth": int(rng.integers(1, 4)),
            "post_swin_window_size": int(rng.integers(3, 10)),
            "loss_decode": _loss(1.0),
        }
    return config


def _draw_backbone(rng, kind):
    """Sample a backbone's configuration and its channels at each stride."""
    if kind == "swin":
        return _draw_swin(rng)
    if kind == "resnet":
        return _draw_resnet(rng)
    return _draw_hrnet(rng)


def _draw_swin(rng):
    heads = int(rng.integers(1, 4))
    width = heads * int(rng.choice([4, 6, 8]))
    config = {
        "pretrain_img_size": 224,
        "embed_dims": width,
        "patch_size": 4,
        "window_size": int(rng.integers(3, 13)),
        "mlp_ratio": int(rng.integers(2, 5)),
        "depths": rng.integers(1, 4, 4).tolist(),
        "num_heads": [heads, heads, 2 * heads, 2 * heads],
        "drop_path_rate": 0.3,
    }
    return config, [width * 2**level for level in range(4)]


def _draw_resnet(rng):
    strides, dilations = (
        ((1, 2, 1, 1), (1, 1, 2, 4)),
        ((1, 2, 2, 2), (1, 1, 1, 1)),
        ((1, 2, 2, 1), (1, 1, 1, 2)),
    )[rng.integers(3)]
    width = int(rng.choice([4, 6, 8]))
    config = {
        "depth": int(rng.choice([50, 101])),
        "num_stages": 4,
        "stem_channels": 2 * int(rng.integers(4, 13)),
        "base_channels": width,
        "out_indices": (0, 1, 2, 3),
        "dilations": dilations,
        "strides": strides,
        "norm_cfg": _NORM,
        "norm_eval": False,
        "style": "pytorch",
        "contract_dilation": bool(rng.integers(2)),
    }
    return config, [4 * width * 2**level for level in range(4)]


def _draw_hrnet(rng):
    widths = rng.integers(4, 20, 4).tolist()
    extra = {
        f"stage{branches}": {
            "num_modules": int(rng.integers(1, 3)) if branches > 1 else 1,
            "num_branches": branches,
            "block": "BASIC" if branches > 1 else "BOTTLENECK",
            "num_blocks": (int(rng.integers(1, 4)),) * branches,
            "num_channels": widths[:branches] if branches > 1 else [8],
        }
        for branches in range(1, 5)
    }
    return {"norm_cfg": _NORM, "norm_eval": False, "extra": extra}, widths
