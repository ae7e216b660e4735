"""Build our models from the official release's tensors and configurations.

Sizes are inferred from the tensors. The configuration is only used for what
they do not determine: strides and dilations, colors, sliding windows. It is a
dict of the top-level variables of an MMCV config file, such as `{"model":
{"backbone": ..., "decode_head": ..., "test_cfg": ...}, "img_norm_cfg": ...}`.
Missing entries default to the release's settings.
"""

import numpy as np

import gss_keras
from gss_keras.data.catalog import card
from gss_keras.maskige import WindowInverse, palettes
from weights_conversion import backbones, dalle, heads, porting

# The release's palettes by their number of classes.
_PALETTES = {19: "cityscapes", 150: "ade20k", 194: "mseg"}
# By a tensor unique to each kind of backbone: its converter, and our names of
# the settings that its tensors do not determine.
_BACKBONES = {
    "patch_embed.projection.weight": (
        backbones.convert_swin,
        {"drop_path_rate": "drop_path"},
    ),
    "stem.0.weight": (
        backbones.convert_resnet_v1c,
        {
            "strides": "stage_strides",
            "dilations": "dilations",
            "contract_dilation": "has_contracted_dilation",
        },
    ),
    "transition1.0.0.weight": (backbones.convert_hrnet, {}),
}
_NORMALIZATION = {"mean": "pixel_mean", "std": "pixel_deviation"}
_INVERSE = ("projection.", "post_", "cls_segmap.")
_TOKENIZER = "d_vae."


def build_segmenter(tensors, config=None, tokenizer=None, palette=None):
    """Build a segmenter with the weights of a released checkpoint.

    Args:
        tensors: A dict from name to array: `backbone.*` and `decode_head.*`,
            the latter with or without the tokenizer's `d_vae.*`.
        config: The configuration, see above.
        tokenizer: The `DiscreteVAE` to use if the tensors contain none.
        palette: Name of a palette, or array of shape `(num_classes, 3)` or,
            with the color of ignored pixels last, `(num_classes + 1, 3)`.
            Defaults to that of the configuration, or else to the release's
            for this number of classes.

    Returns:
        A `GenerativeSegmenter` that predicts as in the release's evaluation:
        on whole photos or in sliding windows, with maskiges stretched onto
        the photo.

    Raises:
        ValueError: If a tensor is missing, left over or of another shape, or
            a setting that the tensors do not determine is unknown.
    """
    config = config or {}
    model = config.get("model", {})
    unexpected = sorted(
        name
        for name in tensors
        if not name.startswith(("backbone.", "decode_head."))
    )
    if unexpected:
        raise ValueError(
            "The names of the checkpoint's tensors must start with "
            f"`backbone.` or `decode_head.`. Received: {unexpected}"
        )
    backbone = build_backbone(
        backbones.select(tensors, "backbone."),
        model.get("backbone", {}),
        config.get("img_norm_cfg", {}),
    )
    head = dict(model.get("decode_head", {}))
    prior = build_prior(
        backbones.select(tensors, "decode_head."),
        head if palette is None else head | {"palette": palette},
        backbone,
        tokenizer,
    )
    window = _windows(model.get("test_cfg"), prior.posterior.num_classes)
    return gss_keras.GenerativeSegmenter(prior, *window)


def build_backbone(tensors, settings=None, normalization=None):
    """Build the kind of backbone that the tensors belong to.

    Args:
        tensors: A dict from name, without prefix, to array.
        settings: The configuration of the backbone, a dict.
        normalization: A dict of `mean` and `std`, three floats each, of the
            pixels. Defaults to ImageNet's.

    Returns:
        A `SwinTransformer`, `ResNetV1c` or `HRNetV2`.

    Raises:
        ValueError: If it is an unsupported backbone, or a tensor is missing,
            left over or of another shape.
    """
    kinds = [kind for name, kind in _BACKBONES.items() if name in tensors]
    if len(kinds) != 1:
        raise ValueError(
            "The backbone must be a Swin Transformer, a ResNet-V1c or an "
            "HRNet, with mmsegmentation's tensor names. "
            f"Received: {sorted(tensors)}"
        )
    convert, names = kinds[0]
    arguments = _rename(settings or {}, names)
    arguments |= _rename(normalization or {}, _NORMALIZATION)
    return convert(tensors, **arguments)


def build_prior(tensors, settings, backbone, tokenizer=None):
    """Build a prior with its posterior from the tensors of a head.

    Args:
        tensors: A dict from name, without prefix, to array, of a
            `GenerativeSegHeadFF`, `GenerativeSegHeadFFSingleFusion` or
            `GenerativeSegHeadFTW`.
        settings: The configuration of the head, a dict; `in_index`,
            `palette` and `dropout_ratio` are used.
        backbone: The backbone, with its weights.
        tokenizer: The `DiscreteVAE` to use if the tensors contain none.

    Returns:
        A `LatentPrior`. The inverse mapping of its posterior is a
        `WindowInverse` for FT-W and the nearest color otherwise.

    Raises:
        ValueError: If a tensor is missing, left over or of another shape, or
            tokenizer or palette are unknown.
    """
    own = {k: v for k, v in tensors.items() if not k.startswith(_TOKENIZER)}
    own = heads.order_levels(own, settings.get("in_index", heads.IN_INDEX))
    sizes = heads.inverse_sizes(own)
    inverse_tensors = {
        name: own.pop(name) for name in list(own) if name.startswith(_INVERSE)
    }
    vocabulary = len(own.get("conv_seg.weight", ()))
    inverse = WindowInverse(**sizes) if sizes else "nearest_color"
    palette, ignore_color = _palette(settings.get("palette"), own, sizes)
    posterior = gss_keras.LatentPosterior(
        palette,
        _tokenizer(tensors, tokenizer, vocabulary),
        inverse=inverse,
        ignore_color=ignore_color,
        alignment="stretch",
        classes=card(palette).classes if isinstance(palette, str) else None,
    )
    if sizes:
        porting.port_layers(
            porting.Source(inverse_tensors),
            inverse,
            heads.inverse_layers(inverse),
        )
    prior = gss_keras.LatentPrior(
        backbone,
        posterior,
        dropout=settings.get("dropout_ratio", 0.1),
        pad_to=1,
        **heads.prior_sizes(own),
    )
    porting.port_layers(
        porting.Source(own),
        prior,
        heads.prior_layers(prior),
        kept=[backbone, posterior],
    )
    return prior


def _rename(settings, names):
    """Return the settings in `names`, renamed to ours."""
    return {
        ours: settings[theirs]
        for theirs, ours in names.items()
        if theirs in settings
    }


def _tokenizer(tensors, given, vocabulary):
    """Build the tokenizer in the tensors, or return the given one."""
    inside = {
        name.removeprefix(_TOKENIZER): array
        for name, array in tensors.items()
        if name.startswith(_TOKENIZER)
    }
    tokenizer = dalle.build(inside, any_size=True) if inside else given
    if tokenizer is None:
        raise ValueError(
            "The checkpoint contains no tokenizer. Give the preset of DALL-E's "
            "(`--tokenizer`), which `python -m weights_conversion.dalle` "
            "writes. Received: tokenizer=None"
        )
    if tokenizer.codebook_size != vocabulary:
        raise ValueError(
            "The tokenizer must have as many tokens as the head's classifier, "
            f"{vocabulary}. Received: {tokenizer.codebook_size} tokens"
        )
    return tokenizer


def _palette(given, tensors, inverse_sizes):
    """Return the colors of the classes, and that of ignored pixels."""
    pixel_classifier = tensors.get("conv_seg_pixel.weight")
    count = None
    if inverse_sizes:
        count = inverse_sizes["num_classes"]
    elif pixel_classifier is not None:
        count = len(pixel_classifier)
    if given is None and count not in _PALETTES:
        raise ValueError(
            "The colors of the classes must be given (`palette`, `--palette`): "
            "the checkpoint has no configuration, and only "
            f"{sorted(_PALETTES)} classes have a palette in the release. "
            f"Received: {count} classes"
        )
    given = _PALETTES[count] if given is None else given
    ignore_color = (0, 0, 0)
    if isinstance(given, str):
        return given, palettes.ignore_color(given)
    if count is not None and len(given) == count + 1:
        *given, ignore_color = given
    if count not in (None, len(given)):
        raise ValueError(
            f"`palette` must have the colors of the {count} classes, and may "
            "have that of ignored pixels after them. "
            f"Received: {len(given)} colors"
        )
    for name in _PALETTES.values():
        if np.array_equal(given, palettes.named(name)):
            return name, ignore_color
    return given, ignore_color


def _windows(settings, num_classes):
    """Return window size and stride of the release's evaluation."""
    if settings is None:
        # ADE20K is evaluated on whole photos.
        return (None, None) if num_classes == 150 else ((768, 768), (512, 512))
    if settings.get("mode") != "slide":
        return None, None
    return settings["crop_size"], settings["stride"]
