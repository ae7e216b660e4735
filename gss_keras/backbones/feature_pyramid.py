"""Adapter for backbones of KerasHub, KerasCV or your own."""

import math

import keras
from keras import layers, ops

from gss_keras.backbones.backbone import Backbone
from gss_keras.constants import STRIDES
from gss_keras.ops.padding import crop
from gss_keras.saving.presets import PresetMixin

# Multiples of no stride and of all, to probe whether sizes are rounded up.
_UNEVEN_SIZE, _EVEN_SIZE = (163, 97), (192, 128)
_POSSIBLE_STRIDES = (1, 2, 4, 8, 16, 32, 64)


@keras.saving.register_keras_serializable(package="gss_keras")
class FeaturePyramid(PresetMixin, keras.Model):
    """Feature pyramid of any backbone, with the interface of `LatentPrior`.

    Photos are normalized as `scale * photo + offset` and the backbone's
    feature maps are returned by stride. Strides are inferred from the sizes
    of the feature maps, never from their names, which differ between
    libraries. Of several feature maps of one stride the last is taken. For a
    backbone that rounds sizes down, photos are padded with zeros to a
    multiple of the largest stride, and feature maps are cropped.

    Args:
        backbone: A KerasHub backbone with `pyramid_outputs`, a KerasCV
            backbone with `pyramid_level_inputs`, a functional `keras.Model`
            whose outputs are feature maps, or a backbone of this package.
            One input, channels last.
        strides: The strides to return, integers.
        scale: Float, or one for each of red, green and blue. Together with
            `offset` it normalizes raw pixels 0-255 as in the backbone's
            training: a pretrained KerasHub backbone has both in its image
            converter. KerasCV's `include_rescaling=True` needs neither.
        offset: Float, or one for each of red, green and blue.
        trainable: Whether `fit` may update weights and batch statistics.
        **kwargs: `name` of the model.

    Call arguments:
        photos: Float or integer array `(batch, height, width, 3)`, raw RGB
            pixels 0-255; any size, unless the backbone's is fixed.

    Returns:
        A dict from stride to float feature map `(batch,
        ceil(height / stride), ceil(width / stride), channels)`.

    Raises:
        ValueError: If `backbone` is something else or lacks a stride.

    Example:
        >>> import keras
        >>> from gss_keras.backbones import FeaturePyramid
        >>> photos = keras.Input((None, None, 3))
        >>> fine = keras.layers.Conv2D(5, 3, 4, padding="same")(photos)
        >>> coarse = keras.layers.Conv2D(6, 3, 2, padding="same")(fine)
        >>> backbone = keras.Model(photos, [fine, coarse])
        >>> FeaturePyramid(backbone, strides=(4, 8), scale=1 / 255).channels
        {4: 5, 8: 6}
    """

    def __init__(
        self,
        backbone,
        strides=STRIDES,
        scale=1.0,
        offset=0.0,
        trainable=True,
        **kwargs,
    ):
        functional = _as_functional(backbone)
        _check_model(functional)
        by_stride, rounds_up = _find_maps(functional, strides)
        # Without the layers that only other feature maps need.
        extractor = keras.Model(
            functional.inputs[0],
            {stride: by_stride[stride] for stride in strides},
            name=f"{backbone.name}_pyramid",
        )

        photos = keras.Input(functional.inputs[0].shape[1:], name="photos")
        pixels = layers.Rescaling(scale, offset, name="normalisation")(photos)
        if rounds_up:
            features = extractor(pixels)
        else:
            features = {
                stride: CropToPhoto(stride, name=f"crop_{stride}")(map_, photos)
                for stride, map_ in extractor(
                    PadToMultiple(max(strides), name="pad")(pixels)
                ).items()
            }
        super().__init__(inputs=photos, outputs=features, **kwargs)

        # Keras' constructor does not pass this on to the layers.
        self.trainable = trainable
        self._arguments = {
            "backbone": keras.saving.serialize_keras_object(backbone),
            "strides": list(strides),
            "scale": scale,
            "offset": offset,
        }

    @property
    def channels(self):
        """Dict from stride to the channels of that feature map."""
        return {stride: map_.shape[-1] for stride, map_ in self.output.items()}

    def get_config(self):
        """Return the constructor arguments as a JSON-serializable dict."""
        return {
            **self._arguments,
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Build the model from its config."""
        backbone = keras.saving.deserialize_keras_object(
            config["backbone"], custom_objects
        )
        return cls(**{**config, "backbone": backbone})


@keras.saving.register_keras_serializable(package="gss_keras")
class PadToMultiple(layers.Layer):
    """Zero padding, below and on the right, to a multiple of some size.

    Args:
        multiple: Integer that height and width are padded to a multiple of.
        **kwargs: Passed to `keras.layers.Layer`.
    """

    def __init__(self, multiple, **kwargs):
        super().__init__(**kwargs)
        self.multiple = multiple

    def call(self, x):
        """Pad float `(batch, height, width, channels)`."""
        height, width = ops.shape(x)[1:3]
        down, right = -height % self.multiple, -width % self.multiple
        return ops.pad(x, [[0, 0], [0, down], [0, right], [0, 0]])

    def compute_output_shape(self, input_shape):
        """Leave height and width unknown."""
        return (input_shape[0], None, None, input_shape[-1])

    def get_config(self):
        """Return the constructor arguments as a JSON-serializable dict."""
        return {**super().get_config(), "multiple": self.multiple}


@keras.saving.register_keras_serializable(package="gss_keras")
class CropToPhoto(layers.Layer):
    """Crop a feature map to the size it has without padding of the photo.

    Args:
        stride: Stride of the feature map, an integer.
        **kwargs: Passed to `keras.layers.Layer`.
    """

    def __init__(self, stride, **kwargs):
        super().__init__(**kwargs)
        self.stride = stride

    def call(self, features, photos):
        """Crop float `(batch, height, width, channels)`."""
        height, width = ops.shape(photos)[1:3]
        rows, columns = -(-height // self.stride), -(-width // self.stride)
        return crop(features, rows, columns)

    def compute_output_shape(self, features_shape, photos_shape):
        """Leave height and width unknown."""
        return (photos_shape[0], None, None, features_shape[-1])

    def get_config(self):
        """Return the constructor arguments as a JSON-serializable dict."""
        return {**super().get_config(), "stride": self.stride}


def as_backbone(backbone, strides=STRIDES):
    """Return a backbone with the interface of `LatentPrior`.

    Args:
        backbone: A model of `gss_keras.backbones`, any other `keras.Model`
            whose `channels` is a dict by stride, or any other that
            `FeaturePyramid` takes.
        strides: The strides that are needed, integers.

    Returns:
        `backbone` itself if it has the interface, else a `FeaturePyramid`
        of it, which passes raw pixels on unchanged.

    Raises:
        ValueError: If `backbone` is something else or lacks a stride.
    """
    channels = getattr(backbone, "channels", None)
    if isinstance(channels, dict) and isinstance(backbone, keras.Model):
        if any(stride not in channels for stride in strides):
            raise ValueError(
                f"`backbone` must give feature maps of strides "
                f"{tuple(strides)}. Received: {_describe(backbone)} with "
                f"strides {sorted(channels)}"
            )
        return backbone
    return FeaturePyramid(backbone, strides)


def _as_functional(backbone):
    """Return a functional model of a backbone of this package."""
    if not isinstance(backbone, Backbone):
        return backbone
    photos = keras.Input((None, None, 3), name="photos")
    return keras.Model(photos, list(backbone(photos).values()))


def _check_model(backbone):
    if not isinstance(backbone, keras.Model):
        raise ValueError(
            "`backbone` must be a model of `gss_keras.backbones`, KerasHub "
            "or KerasCV, or a functional `keras.Model` with several outputs. "
            f"Received: backbone={backbone!r} of type {type(backbone)}"
        )
    inputs = getattr(backbone, "inputs", None)
    if not inputs:
        raise ValueError(
            "`backbone` must be a functional model, one with `inputs` and "
            f"`outputs`. Received: {_describe(backbone)} without"
        )
    shape = inputs[0].shape
    if len(inputs) != 1 or len(shape) != 4 or shape[-1] != 3:
        raise ValueError(
            "`backbone` must have one input of shape (batch, height, width, "
            f"3). Received: {_describe(backbone)} with inputs of shape "
            f"{[tuple(tensor.shape) for tensor in inputs]}"
        )


def _feature_maps(backbone):
    """Return the symbolic outputs of KerasHub, KerasCV or another model."""
    if getattr(backbone, "pyramid_outputs", None):
        return list(backbone.pyramid_outputs.values())
    if getattr(backbone, "pyramid_level_inputs", None):
        names = backbone.pyramid_level_inputs.values()
        return [backbone.get_layer(name).output for name in names]
    return list(backbone.outputs)


def _find_maps(backbone, strides):
    """Return a feature map per stride, and whether sizes are rounded up."""
    maps = _feature_maps(backbone)
    for size in (_UNEVEN_SIZE, _EVEN_SIZE):
        by_stride = _sort_by_stride(backbone.inputs[0], maps, size)
        if all(stride in by_stride for stride in strides):
            has_fixed_size = None not in backbone.inputs[0].shape[1:3]
            return by_stride, has_fixed_size or size == _UNEVEN_SIZE
    raise ValueError(
        "`backbone` must give feature maps of strides "
        f"{tuple(strides)}, of ceil(height / stride) rows and "
        "ceil(width / stride) columns each. "
        f"Received: {_describe(backbone)} with strides "
        f"{sorted(by_stride)} among {len(maps)} outputs"
    )


def _sort_by_stride(photo, maps, size):
    """Infer the stride of every feature map from its size for one photo."""
    height, width = (
        fixed or probe
        for fixed, probe in zip(photo.shape[1:3], size, strict=True)
    )
    probed = keras.Model(photo, maps).compute_output_spec(
        keras.KerasTensor((1, height, width, 3), photo.dtype)
    )
    by_stride = {}
    for map_, spec in zip(maps, probed, strict=True):
        for stride in _POSSIBLE_STRIDES:
            wanted = (math.ceil(height / stride), math.ceil(width / stride))
            if len(spec.shape) == 4 and tuple(spec.shape[1:3]) == wanted:
                by_stride[stride] = map_
                break
    return by_stride


def _describe(backbone):
    return f"a {type(backbone).__name__} named {backbone.name!r}"
