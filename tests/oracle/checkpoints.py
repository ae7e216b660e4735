"""Files as the release's trainer and OpenAI's tokenizer are stored."""

import pathlib

import numpy as np
import torch

from tests.oracle.discrete_vae import DiscreteVAE
from tests.oracle.drawing import draw_photo
from tests.oracle.heads import FT_W, margin, resize, squared_distances
from tests.oracle.models import Segmenter
from tests.oracle.released import VAE, describe, released
from tests.oracle.weights import randomize

# The statistics of ImageNet, of pixels in 0-255.
MEAN = (123.675, 116.28, 103.53)
DEVIATION = (58.395, 57.12, 57.375)


def save_checkpoint(model, path, meta, with_tokenizer=True, as_zip=True):
    """Saves a model as the release's trainer does.

    Args:
        model: A `Segmenter`.
        path: File to write.
        meta: Dictionary to save beside the weights, see `describe`.
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


def refer(model, photo):
    """Gives what a model answers for a photo, by the names of its steps.

    Args:
        model: A `Segmenter`.
        photo: Tensor uint8 `(H, W, 3)`, RGB.

    Returns:
        A dictionary of NumPy arrays.
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
    """Writes a random checkpoint of a published row and its answers.

    Args:
        name: One of `RELEASED`.
        path: File to write; `.reference.npz` is added for the answers.
        seed: Integer.
        with_tokenizer: As of `save_checkpoint`.
        as_zip: As of `save_checkpoint`.

    Returns:
        The exit status.
    """
    model = Segmenter(**released(name))
    randomize(model, seed)
    save_checkpoint(model, path, describe(name), with_tokenizer, as_zip)
    answers = refer(model, draw_photo(seed))
    np.savez(f"{path}.reference.npz", **answers)
    for step in answers:
        values = answers[step].astype("float64")
        print(
            f"{step:<14}{values.shape!s:<22} mean {values.mean():>9.3f} "
            f"deviation {values.std():>9.3f} {len(np.unique(values)):>8} values"
        )
    return 0


def tokenizer(folder, seed):
    """Writes `encoder.pkl` and `decoder.pkl` as pickled modules.

    Args:
        folder: Where to write them.
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
            # Those pickled by the PyTorch of 2021 lack this attribute.
            layer.__dict__.pop("recompute_scale_factor", None)
        torch.save(module, folder / f"{name}.pkl")
    return 0
