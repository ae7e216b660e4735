"""Checkpoints in the formats of the official release and of OpenAI."""

import pathlib

import numpy as np
import torch

from tests.oracle.discrete_vae import DiscreteVAE
from tests.oracle.drawing import draw_photo
from tests.oracle.heads import FT_W, margin, resize, squared_distances
from tests.oracle.models import Segmenter
from tests.oracle.released import VAE, describe, released
from tests.oracle.weights import randomize

# Channel statistics of ImageNet, for pixels in 0-255.
MEAN = (123.675, 116.28, 103.53)
DEVIATION = (58.395, 57.12, 57.375)


def save_checkpoint(model, path, meta, with_tokenizer=True, as_zip=True):
    """Save a model in the format of the official release.

    Args:
        model: A `Segmenter`.
        path: File to write.
        meta: Dictionary of metadata to save with the weights, see `describe`.
        with_tokenizer: Whether to save the tokenizer's tensors too.
        as_zip: Whether to save in the file format of PyTorch 1.6 and later.
    """
    state = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if with_tokenizer or "d_vae" not in name
    }
    torch.save(
        {"meta": meta, "state_dict": state},
        path,
        _use_new_zipfile_serialization=as_zip,
    )


def reference_outputs(model, photo):
    """Return a model's intermediate and final outputs for a photo.

    Args:
        model: A `Segmenter`.
        photo: Tensor uint8 `(H, W, 3)`, RGB.

    Returns:
        A dictionary from output names to NumPy arrays.
    """
    pixels = photo.float() - torch.tensor(MEAN)
    pixels = (pixels / torch.tensor(DEVIATION)).permute(2, 0, 1)
    head = model.decode_head
    with torch.no_grad():
        features = model.backbone(pixels[None])
        fused, _, logits = head.prior(features)
        maskige = head.decode(logits.argmax(1))
        classes = head.inverse(maskige)
        resized = resize(classes, photo.shape[:2])
    results = {f"feature{level}": map_ for level, map_ in enumerate(features)}
    results |= {
        "photo": photo,
        "feature_std": torch.stack([map_.std() for map_ in features]),
        "fused": fused,
        "token_logits": logits,
        "tokens": logits.argmax(1).int(),
        "token_margin": margin(logits),
        "maskige": maskige,
        "seg_logits": resized,
        "pred": resized.argmax(1).int(),
    }
    if head.variant == FT_W:
        results["real_logits"] = classes
    else:
        distances = squared_distances(maskige, head.palette[:-1])
        results["sqdist_margin"] = margin(-distances)
    return {name: results[name].numpy() for name in results}


def checkpoint(name, path, seed, with_tokenizer, as_zip):
    """Write a random checkpoint of a published model and reference outputs.

    Args:
        name: One of `RELEASED`.
        path: File to write; the suffix `.reference.npz` is appended for the
            reference outputs.
        seed: Integer.
        with_tokenizer: As in `save_checkpoint`.
        as_zip: As in `save_checkpoint`.

    Returns:
        The exit status.
    """
    model = Segmenter(**released(name))
    randomize(model, seed)
    save_checkpoint(model, path, describe(name), with_tokenizer, as_zip)
    outputs = reference_outputs(model, draw_photo(seed))
    np.savez(f"{path}.reference.npz", **outputs)
    for output in outputs:
        values = outputs[output].astype("float64")
        print(
            f"{output:<14}{values.shape!s:<22} mean {values.mean():>9.3f} "
            f"std {values.std():>9.3f} {len(np.unique(values)):>8} distinct"
        )
    return 0


def tokenizer(folder, seed):
    """Write `encoder.pkl` and `decoder.pkl` as pickled modules.

    Args:
        folder: Output folder.
        seed: Integer.

    Returns:
        The exit status.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    pair = DiscreteVAE(**VAE)
    randomize(pair, seed)
    for name in ("encoder", "decoder"):
        module = getattr(pair, name)
        for layer in module.modules():
            # Modules pickled by PyTorch versions of 2021 lack it.
            layer.__dict__.pop("recompute_scale_factor", None)
        torch.save(module, folder / f"{name}.pkl")
    return 0
