"""Compare backbones, the tokenizer and whole segmenters with golden files."""

import keras
import numpy as np

from gss_keras.layers.window_attention import relative_positions
from weights_conversion import dalle, official
from weights_conversion.golden.comparison import (
    BLOCK,
    CLEAR,
    agree,
    compare,
    run,
    to_numpy,
)

# The photos of golden files are normalized already.
IDENTITY = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def verify_backbone(golden):
    """Compare a Swin Transformer, ResNet-V1c or HRNet, stage by stage."""
    settings = golden.meta["config"]
    backbone = official.build_backbone(golden.weights(), settings, IDENTITY)
    for case in golden.cases():
        photos = golden.map(f"in/{case}")
        maps = run(backbone, photos).values()
        for stage, received in enumerate(maps):
            name = f"{case}/stage{stage}"
            yield compare(name, received, golden.map(f"out/{name}"))
        if f"out/{case}/patch_embed_tokens" in golden:
            yield from _inner_stages(golden, backbone, case, photos)
    if "out/relative_position_index" in golden:
        expected = golden.raw("out/relative_position_index")
        side = int(len(expected) ** 0.5)
        yield agree(
            "relative_position_index", relative_positions(side), expected
        )


def _inner_stages(golden, backbone, case, photos):
    """Compare intermediate features of a Swin Transformer."""
    tokens = x = backbone.embed_patches(keras.ops.convert_to_tensor(photos))
    for block in backbone.blocks[: backbone.get_config()["depths"][0]]:
        x = block(x)
    for name, features in (
        ("patch_embed_tokens", tokens),
        ("stage0_downsampled_tokens", backbone.mergings[0](x)),
    ):
        stage = f"{case}/{name}"
        received = to_numpy(features)
        received = received.reshape(len(photos), -1, received.shape[-1])
        yield compare(stage, received, golden.raw(f"out/{stage}"), BLOCK)


def verify_tokenizer(golden):
    """Compare the encoder and the decoder of the discrete VAE."""
    tokenizer = dalle.build(golden.weights(), any_size=True)
    for case in golden.cases():
        maskige = golden.map(f"in/{case}/image01")
        logits = to_numpy(tokenizer.encode_logits(maskige))
        expected = golden.map(f"out/{case}/enc_logits")
        yield compare(f"{case}/enc_logits", logits, expected, BLOCK)
        tokens = golden.raw(f"out/{case}/enc_indices")
        is_clear = golden.raw(f"out/{case}/enc_margin") > CLEAR * expected.std()
        yield agree(f"{case}/enc_indices", logits.argmax(-1), tokens, is_clear)
        exponentials = np.exp(expected - expected.max(-1, keepdims=True))
        yield from _decoded(
            golden,
            tokenizer,
            case,
            {
                "dec": tokens,
                "dec_soft": exponentials / exponentials.sum(-1, keepdims=True),
                "rand_dec": golden.raw(f"in/{case}/rand_indices"),
            },
        )


def _decoded(golden, tokenizer, case, tokens_of):
    for name, tokens in tokens_of.items():
        outputs = f"out/{case}/{name}_out"
        if outputs in golden:
            received = run(tokenizer.decoder, tokenizer.lookup(tokens))
            expected = golden.map(outputs)
            yield compare(f"{case}/{name}_out", received, expected, BLOCK)
        image = f"out/{case}/{name}_image01"
        if image in golden:
            received = to_numpy(tokenizer.decode(tokens))
            expected = golden.map(image)
            yield compare(f"{case}/{name}_image01", received, expected, BLOCK)


def verify_segmenter(golden):
    """Compare a segmenter, on whole photos and in windows."""
    meta = golden.meta
    config = {
        "model": {
            "backbone": meta["backbone"],
            "decode_head": meta["head"],
            "test_cfg": {"mode": "slide", **meta["slide"]}
            if "slide" in meta
            else {"mode": "whole"},
        },
    }
    photos = {c: golden.map(f"in/{c}/image") for c in golden.cases()}
    photos, config["img_norm_cfg"] = _as_pixels(photos)
    segmenter = official.build_segmenter(golden.weights(), config)
    for case in golden.cases():
        window = None if case.startswith("slide") else "whole"
        logits = segmenter.predict_logits(photos[case], window=window)
        yield from _segmented(golden, case, logits)


def _as_pixels(photos):
    """Return photos as pixels 0-255 and the config that normalizes them."""
    low = min(photo.min() for photo in photos.values())
    high = max(photo.max() for photo in photos.values())
    scale = 255 / (high - low)
    pixels = {
        case: np.clip((photo - low) * scale, 0, 255)
        for case, photo in photos.items()
    }
    mean, deviation = float(-low * scale), float(scale)
    return pixels, {"mean": (mean,) * 3, "std": (deviation,) * 3}


def _segmented(golden, case, logits):
    expected = golden.map(f"out/{case}/logits")
    is_near = np.abs(logits - expected).max(-1) < 1e-3 * expected.std()
    yield agree(
        f"{case}/logits to 1e-3 of std", is_near, np.full_like(is_near, True),
        least=0.995,
    )  # fmt: skip
    masks = golden.raw(f"out/{case}/pred").reshape(logits.shape[:3])
    yield agree(f"{case}/pred", logits.argmax(-1), masks, least=0.995)
