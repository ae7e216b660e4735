"""Building our models from the release's tensors, and errors."""

import json

import numpy as np
import pytest
from tiny import tiny_backbone, tiny_tokenizer

from weights_conversion import heads, official


@pytest.fixture(scope="module")
def release(request):
    """Return the tensors and the configuration of a small model."""
    path = request.path.parents[1] / "golden" / "e2e_swin_ff.npz"
    with np.load(path) as arrays:
        tensors = {
            name.removeprefix("sd/"): arrays[name]
            for name in arrays.files
            if name.startswith("sd/")
        }
        meta = json.loads(str(arrays["meta"]))
    model = {"backbone": meta["backbone"], "decode_head": meta["head"]}
    return tensors, {"model": model | {"test_cfg": {"mode": "whole"}}}


def test_settings_that_tensors_do_not_determine(release):
    tensors, config = release
    slide = {"mode": "slide", "crop_size": (96, 64), "stride": (48, 32)}
    config = {
        "model": config["model"] | {"test_cfg": slide},
        "img_norm_cfg": {"mean": [1, 2, 3], "std": [4, 5, 6], "to_rgb": True},
    }
    segmenter = official.build_segmenter(tensors, config)
    assert segmenter.window == (96, 64) and segmenter.stride == (48, 32)
    posterior, backbone = segmenter.posterior, segmenter.prior.backbone
    assert posterior.alignment == "stretch"
    assert posterior.mask_scale == 2
    palette = config["model"]["decode_head"]["palette"]
    np.testing.assert_array_equal(posterior.palette, palette[:-1])
    assert posterior.config["ignore_color"] == tuple(palette[-1])
    assert backbone.get_config()["pixel_mean"] == [1, 2, 3]
    assert backbone.get_config()["pixel_deviation"] == [4, 5, 6]
    assert backbone.get_config()["drop_path"] == 0.3
    assert segmenter.prior.config["pixel_branch"] == "separate"


def test_without_a_configuration_a_palette_is_required(release):
    tensors, _ = release
    with pytest.raises(ValueError, match=r"`--palette`\).*Received: 7 classes"):
        official.build_segmenter(tensors)
    with pytest.raises(ValueError, match="the colors of the 7 classes"):
        official.build_segmenter(tensors, palette=np.eye(3) * 255)
    segmenter = official.build_segmenter(
        tensors, palette=np.arange(21).reshape(7, 3)
    )
    assert segmenter.posterior.config["ignore_color"] == (0, 0, 0)
    # The default windows are those of Cityscapes and MSeg.
    assert segmenter.window == (768, 768) and segmenter.stride == (512, 512)


def test_official_palettes_are_found_by_number_of_classes():
    for count, name in ((19, "cityscapes"), (150, "ade20k"), (194, "mseg")):
        tensors = {"conv_seg_pixel.weight": np.zeros((count, 4))}
        assert official._palette(None, tensors, None)[0] == name
    colors = official.palettes.named("ade20k").tolist()
    found, ignored = official._palette([*colors, [1, 2, 3]], tensors={
        "conv_seg_pixel.weight": np.zeros((150, 4))}, inverse_sizes=None,
    )  # fmt: skip
    assert found == "ade20k" and ignored == [1, 2, 3]


def without(tensors, prefix):
    return {k: v for k, v in tensors.items() if not k.startswith(prefix)}


def test_a_tokenizer_is_required(release):
    tensors, config = release
    rest = without(tensors, "decode_head.d_vae.")
    with pytest.raises(ValueError, match="`--tokenizer`"):
        official.build_segmenter(rest, config)
    with pytest.raises(ValueError, match="as many tokens.*512. Received: 32"):
        official.build_segmenter(rest, config, tiny_tokenizer(groups=4))
    tokenizer = tiny_tokenizer(groups=4, codebook_size=512)
    segmenter = official.build_segmenter(rest, config, tokenizer)
    assert segmenter.posterior.tokenizer is tokenizer


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decode_head.surplus.weight": 1}, r"\['surplus.weight'\] left over"),
        ({"decode_head.conv_seg.bias": None}, r"\['conv_seg.bias'\] missing"),
        ({"backbone.norm7.weight": 1}, r"\['norm7.weight'\] left over"),
        ({"optimizer.state": 1}, "must start with.*'optimizer.state'"),
        (
            {"decode_head.swin_ln.bias": 1},
            "`swin_ln.bias`.*must have the shape",
        ),
        ({"decode_head.fusion_conv.conv.weight": None}, "must have a tensor"),
        ({"backbone.patch_embed.projection.weight": None}, "must be a Swin"),
    ],
)
def test_errors_name_mismatched_tensors(release, change, message):
    tensors, config = release
    changed = {**tensors, **{k: np.ones((1,)) for k, v in change.items() if v}}
    for name in (k for k, v in change.items() if v is None):
        del changed[name]
    with pytest.raises(ValueError, match=message):
        official.build_segmenter(changed, config)


def test_an_unknown_backbone_is_an_error():
    with pytest.raises(ValueError, match="must be a Swin Transformer, a ResN"):
        official.build_backbone({"conv1.weight": np.ones((1, 1))})


def test_levels_are_reordered():
    blocks = np.arange(8.0).reshape(1, 8, 1, 1)
    tensors = {
        "fusion_conv.conv.weight": blocks,
        **{f"convs.{place}.bn.bias": np.array([place]) for place in range(4)},
    }
    ordered = heads.order_levels(tensors, [2, 0, 3, 1])
    # The finest level is at index 1, the next at 3, then 0 and 2.
    indices = [int(ordered[f"convs.{level}.bn.bias"][0]) for level in range(4)]
    assert indices == [1, 3, 0, 2]
    kernel = ordered["fusion_conv.conv.weight"].ravel().tolist()
    assert kernel == [2, 3, 6, 7, 0, 1, 4, 5]
    with pytest.raises(ValueError, match="`in_index` must name each"):
        heads.order_levels(tensors, [0, 1, 2, 2])


def test_a_head_must_fit_its_backbone(release):
    tensors, config = release
    head = {
        name.removeprefix("decode_head."): array
        for name, array in tensors.items()
        if name.startswith("decode_head.")
    }
    with pytest.raises(ValueError, match="must have the shape"):
        official.build_prior(
            head, config["model"]["decode_head"], tiny_backbone()
        )
