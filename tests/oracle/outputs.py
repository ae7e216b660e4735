"""Outputs of the models, by their names in golden files."""

import torch

from tests.oracle import head_outputs
from tests.oracle.discrete_vae import as_image
from tests.oracle.heads import margin
from tests.oracle.models import BACKBONES, HEADS


def compute(kind, module, inputs, meta):
    """Compute all outputs in a golden file of a kind.

    Args:
        kind: One of `KINDS`.
        module: The module that `build` returns for the kind.
        inputs: Dictionary from names, without the prefix `in/`, to tensors.
        meta: The file's configuration.

    Returns:
        A dictionary from names, without the prefix `out/`, to tensors.
    """
    with torch.no_grad():
        if kind in HEADS:
            results = head_outputs.compute(module, inputs)
        elif kind in BACKBONES:
            results = _backbone_outputs(module, inputs)
        elif kind == "dalle_vae":
            results = _tokenizer_outputs(module, inputs)
        else:
            results = _segmenter_outputs(module, inputs, meta["slide"])
    return {name: tensor.detach() for name, tensor in results.items()}


def _backbone_outputs(module, inputs):
    results, seen = {}, {}
    if hasattr(module, "stages"):
        for name, layer in (
            ("patch_embed_tokens", module.patch_embed),
            ("stage0_downsampled_tokens", module.stages[0]),
        ):
            layer.register_forward_hook(
                lambda *call, name=name: seen.update({name: call[2][0]})
            )
        attention = module.stages[0].blocks[0].attn.w_msa
        results["relative_position_index"] = attention.relative_position_index
    for case, photos in inputs.items():
        maps = enumerate(module(photos))
        results |= {f"{case}/stage{index}": map_ for index, map_ in maps}
        results |= {f"{case}/{name}": tokens for name, tokens in seen.items()}
    return results


def _tokenizer_outputs(module, inputs):
    results = {}
    for case in dict.fromkeys(name.split("/")[0] for name in inputs):
        logits = module.encoder(inputs[f"{case}/mapped"])
        tokens = logits.argmax(1)
        decoded = module.statistics(tokens)
        others = module.statistics(inputs[f"{case}/rand_indices"])
        results |= {
            f"{case}/enc_logits": logits,
            f"{case}/enc_indices": tokens,
            f"{case}/enc_margin": margin(logits),
            f"{case}/dec_out": decoded,
            f"{case}/dec_image01": as_image(decoded),
            f"{case}/dec_soft_out": module.decoder(logits.softmax(1)),
            f"{case}/rand_dec_out": others,
            f"{case}/rand_dec_image01": as_image(others),
        }
    return results


def _segmenter_outputs(model, inputs, windows):
    logits = {
        "whole": model(inputs["whole/image"]),
        "slide": model.slide(inputs["slide/image"], **windows),
    }
    return {f"{case}/logits": logits[case] for case in logits} | {
        f"{case}/pred": logits[case].argmax(1)[0] for case in logits
    }
