"""The backbones that a recipe can choose by name."""

import dataclasses
from collections.abc import Callable

from gss_keras.backbones import (
    EfficientNetLite,
    FeaturePyramid,
    HRNetV2,
    ResNetV1c,
    SwinTransformer,
)

_KERASHUB = "kerashub:"


@dataclasses.dataclass(frozen=True)
class Architecture:
    """How to build a backbone, at its published size and small for debugging.

    Attributes:
        kind: The class.
        build: Callable that builds the published size with random weights.
        shrink: Callable that builds a small model of the same class.
    """

    kind: type
    build: Callable
    shrink: Callable


ARCHITECTURES = {
    "efficientnet_lite0": Architecture(
        EfficientNetLite,
        EfficientNetLite,
        lambda: EfficientNetLite(width=0.1, depth=0.3),
    ),
    "resnet101": Architecture(
        ResNetV1c,
        lambda: ResNetV1c(101),
        lambda: ResNetV1c(50, stem_channels=8, base_channels=4),
    ),
    "swin_large": Architecture(
        SwinTransformer,
        lambda: SwinTransformer.of_size("large", drop_path=0.3),
        lambda: SwinTransformer(8, (1, 1, 1, 1), (1, 1, 2, 2), window=4),
    ),
    "hrnet_w48": Architecture(
        HRNetV2,
        lambda: HRNetV2.of_width(48),
        lambda: HRNetV2((4, 8, 16, 32), (1, 1, 1), 1, first_channels=8),
    ),
}


def build_backbone(name, weights=None, is_small=False):
    """Build a backbone, by default with pretrained weights.

    Args:
        name: A key of `ARCHITECTURES`, or `kerashub:` and the name of a
            KerasHub preset.
        weights: Folder or name of the preset with the pretrained weights; by
            default the preset called `name`; "none" for random weights.
        is_small: Whether to build a small model with random weights instead.

    Returns:
        A model that maps photos to a dict from stride to feature map.

    Raises:
        ValueError: If the name is unknown or the preset does not exist.
    """
    if name.startswith(_KERASHUB):
        import keras_hub

        model = keras_hub.models.Backbone.from_preset(
            name.removeprefix(_KERASHUB), load_weights=weights != "none"
        )
        return FeaturePyramid(model)
    if name not in ARCHITECTURES:
        raise ValueError(
            f"`backbone` must be one of {sorted(ARCHITECTURES)}, or "
            f"{_KERASHUB!r} and the name of a KerasHub preset. "
            f"Received: backbone={name!r}"
        )
    architecture = ARCHITECTURES[name]
    if is_small:
        return architecture.shrink()
    if weights == "none":
        return architecture.build()
    try:
        return architecture.kind.from_preset(weights or name)
    except ValueError as error:
        raise ValueError(
            f"{error} Convert published ImageNet weights to a preset, see "
            "`python -m weights_conversion.backbones --help`, or start from "
            "random weights with `--backbone-weights none`."
        ) from error
