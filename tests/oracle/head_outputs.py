"""Outputs of the heads in inference and in training."""

import torch
from torch.nn import functional

from tests.oracle.heads import (
    FF,
    FT_W,
    IGNORE,
    margin,
    resize,
    squared_distances,
)


def compute(head, inputs):
    """Compute all outputs in a golden file of a head.

    Args:
        head: A `Head`.
        inputs: Dictionary of tensors: feature maps `test/feat0` to
            `test/feat3` of strides 4 to 32, the same under `test_odd`, and
            masks `train/gt`; for FF also masks `recon/gt` and maskiges
            `palette/maskige_crop`.

    Returns:
        A dictionary from names, without the prefix `out/`, to tensors.
    """
    results = {}
    for case in ("test", "test_odd"):
        features = [inputs[f"{case}/feat{index}"] for index in range(4)]
        values = _inference(head, features)
        if case == "test_odd":
            for name in ("vq_logits", "fused", "transformer_tokens"):
                values.pop(name, None)
        results |= {f"{case}/{name}": values[name] for name in values}
    if head.variant == FT_W:
        results |= train_inverse(head, inputs)
    else:
        results |= train_prior(head, inputs)
    if head.variant == FF:
        results |= _palette_outputs(head, inputs)
    return results


def _inference(head, features):
    fused, transformed, logits = head.prior(features)
    tokens = logits.argmax(1)
    maskiges = head.decode(tokens)
    classes = head.inverse(maskiges)
    values = {
        "vq_margin": margin(logits),
        "vq_indices": tokens[:, None],
        "maskige": maskiges,
        "vq_logits": logits,
    }
    if head.variant == FT_W:
        return values | {"seg_logits": classes}
    distances = squared_distances(maskiges, head.palette[:-1])
    return values | {
        "fused": fused,
        "transformer_tokens": transformed,
        "class_map": classes.argmax(1),
        "sqdist_margin": margin(-distances),
    }


def _palette_outputs(head, inputs):
    masks = inputs["recon/gt"][:, 0].long()
    masks = masks.where(masks != IGNORE, head.num_classes)
    colors = head.palette[masks].permute(0, 3, 1, 2)
    distances = squared_distances(inputs["palette/maskige_crop"], head.palette)
    tokens = head.d_vae.encode(colors / 255).argmax(1)
    votes = head.inverse(head.decode(tokens))
    logits = resize(votes, masks.shape[1:])
    return {
        "palette/encode_to_segmap": colors.int(),
        "palette/sqdist_noignore": distances[:, :-1],
        "palette/class_noignore": distances[:, :-1].argmin(1, keepdim=True),
        "palette/class_keepignore": distances.argmin(1, keepdim=True),
        "recon/logits": logits,
        "recon/class_map": logits.argmax(1),
    }


def train_prior(head, inputs):
    """Compute losses, targets and gradients of a training step of FF.

    Args:
        head: A `Head` with an auxiliary head.
        inputs: As in `compute`.

    Returns:
        A dictionary from names to tensors.
    """
    features = [inputs[f"test/feat{index}"].clone() for index in range(4)]
    features = [map_.requires_grad_() for map_ in features]
    # The release modifies the caller's masks in place.
    masks = inputs["train/gt"].long()
    masks = masks.where(masks != IGNORE, head.num_classes)
    doubled = _upscaled(masks[:, 0], head.num_classes).argmax(1)
    ignored = doubled == head.num_classes
    targets = doubled.where(~ignored, IGNORE)
    vocabulary = head.d_vae.vocab_size
    with torch.enable_grad():
        fused, _, logits = head.prior(features)
        coarse = head.pixel_logits(features, fused)
        pixels = resize(coarse, doubled.shape[1:])
        filled = doubled.where(~ignored, pixels.argmax(1))
        encoded, tokens = _token_targets(head, filled, ignored)
        token_loss = 0.8 * _cross_entropy(logits, tokens, vocabulary)
        pixel_loss = 0.2 * _cross_entropy(pixels, targets, IGNORE)
        total = token_loss + pixel_loss
    return {
        "train/gt_after_call": masks,
        "train/loss_ce": token_loss,
        "train/loss_ce_pixel": pixel_loss,
        "train/acc_seg_aux": _accuracy(pixels, targets, IGNORE),
        "train/acc_seg_indice": _accuracy(logits, tokens, vocabulary),
        "train/pixel_logits_lowres": coarse,
        "train/pixel_logits_up": pixels[:1],
        "train/target_indices_masked": tokens[:, None],
        "train/target_indices_full": tokens[:, None],
        "train/target_pixel": targets[:, None],
        "train/filled_label_map": filled[:, None],
        "train/target_enc_margin": margin(encoded),
        "train/pixel_logit_margin": margin(pixels),
        "train/total_loss": total,
    } | _gradients(head, total, features)


def train_inverse(head, inputs):
    """Compute loss and gradients of a training step of FT-W's inverse.

    Args:
        head: A `Head` of FT-W.
        inputs: As in `compute`.

    Returns:
        A dictionary from names to tensors.
    """
    features = [inputs[f"test/feat{index}"] for index in range(4)]
    masks = inputs["train/gt"][:, 0].long()
    maskiges = head.decode(head.prior(features)[2].argmax(1))
    with torch.enable_grad():
        logits = resize(head.inverse(maskiges), masks.shape[1:])
        loss = _cross_entropy(logits, masks, IGNORE)
    return {
        "train/projection": head.project(maskiges[:1]),
        "train/loss_ce": loss,
        "train/acc_seg": _accuracy(logits, masks, IGNORE),
    } | _gradients(head, loss, [])


def _upscaled(masks, num_classes):
    """Upscale one-hot masks by 2, with ignored pixels as an extra class."""
    one_hot = functional.one_hot(masks, num_classes + 1)
    one_hot = one_hot.permute(0, 3, 1, 2).float()
    return resize(one_hot, [2 * side for side in masks.shape[1:]])


def _token_targets(head, masks, ignored):
    """Return token logits and tokens of masks; ignored blocks have no token."""
    colors = head.palette[masks].permute(0, 3, 1, 2)
    encoded = head.d_vae.encode(colors / 255)
    blocks = -functional.max_pool2d(-ignored[:, None].float(), 8)
    tokens = encoded.argmax(1)
    return encoded, tokens.where(blocks[:, 0] == 0, head.d_vae.vocab_size)


def _cross_entropy(logits, targets, ignored):
    return functional.cross_entropy(logits, targets, ignore_index=ignored)


def _accuracy(logits, targets, ignored):
    valid = targets != ignored
    return 100 * (logits.argmax(1) == targets)[valid].float().mean()


def _gradients(head, loss, features):
    """Return the gradients of parameters and of feature maps."""
    head.zero_grad()
    loss.backward()
    tensors = dict(head.named_parameters())
    tensors |= {f"feat{i}": map_ for i, map_ in enumerate(features)}
    return {
        f"train/grad/{name}": tensor.grad
        for name, tensor in tensors.items()
        if tensor.grad is not None
    }
