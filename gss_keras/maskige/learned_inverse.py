"""Trained inverse mappings X^-1: FT, TT and FT-W."""

import keras
from keras import ops

from gss_keras.layers.conv_norm import ProjectionBlock
from gss_keras.layers.convolution import Conv2D
from gss_keras.layers.dense import Dense
from gss_keras.layers.window_attention import swin_blocks
from gss_keras.maskige import palettes
from gss_keras.maskige.color_inverse import NearestColorInverse, sharpness_for
from gss_keras.maskige.inverse_mapping import InverseMapping

# Probability of the nearest color at initialization; the rest is spread
# evenly over all classes, so that no mistake costs more than a few nats.
_CONFIDENCE = 0.97
# Margin, in nats, of a class at its own color over the nearest other class,
# before that smoothing.
_MARGIN = 6.0


class LearnedInverse(InverseMapping):
    """Classify features of a maskige; the base class of trained inverses.

    A subclass computes the features in `extract_features`; the classifier is
    here. With a palette, the log-probabilities of the nearest color are added
    to the learned logits, which are zero at initialization: training starts
    from the predictions of FF and learns corrections to them.

    Args:
        num_classes: Number of classes.
        sizes: Dict of the subclass's own constructor arguments.
        palette: None, or the colors of the initial nearest-color
            classifier, as for `NearestColorInverse`.
        **kwargs: Passed to `keras.layers.Layer`.

    Call arguments:
        maskiges: Float `(batch, height, width, 3)` in `[0, 1]`.
        colors: Float `(num_classes, 3)` in `[0, 1]`, used instead of the
            palette: those of a mapping that is being learned.
        training: Whether batch statistics are used and updated.

    Returns:
        Float32 logits `(batch, height, width, num_classes)`.

    Raises:
        ValueError: If the palette is malformed or has not `num_classes`
            colors.
    """

    takes_colors = True

    def __init__(self, num_classes, sizes, palette=None, **kwargs):
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.sizes = sizes
        self.start = None
        if palette is not None:
            self.start = _nearest_color(palette, num_classes)
            palette = palettes.as_config(palette)
        self.palette = palette
        self.classifier = Dense(
            num_classes,
            kernel_initializer="zeros" if self.start else "glorot_uniform",
            name="classifier",
            dtype="float32",
        )

    def extract_features(self, maskiges, training):
        """Return the feature map that is classified, at full resolution."""
        raise NotImplementedError

    def call(self, maskiges, colors=None, training=None):
        logits = self.classifier(self.extract_features(maskiges, training))
        if self.start:
            nearest = ops.softmax(self.start(maskiges, colors=colors))
            uniform = (1 - _CONFIDENCE) / self.num_classes
            logits = logits + ops.log(_CONFIDENCE * nearest + uniform)
        return logits

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.num_classes)

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "palette": self.palette,
            **self.sizes,
        }


def _nearest_color(palette, num_classes):
    count = len(palettes.as_palette(palette))
    if count != num_classes:
        raise ValueError(
            f"`palette` must hold {num_classes} colors, one for each class. "
            f"Received: {count} colors"
        )
    sharpness = sharpness_for(palette, _MARGIN)
    return NearestColorInverse(palette, sharpness, name="start")


@keras.saving.register_keras_serializable(package="gss_keras")
class ConvInverse(LearnedInverse):
    """Classify maskige pixels with three convolutions: the inverse of FT.

    A small trained inverse. Each pixel sees the colors around it, which
    distinguishes a thin object from a blurred edge.

    Args:
        num_classes: Number of classes.
        channels: Channels of the two hidden layers.
        kernel_size: Side in pixels of their kernels.
        **kwargs: `palette` and others, see `LearnedInverse`, which documents
            the call arguments, too.

    Reference:
        Chen et al., "Generative Semantic Segmentation", CVPR 2023, GSS-FT:
        "3-layer conv net with activations", whose sizes are not given and
        which is not part of the release.
    """

    def __init__(self, num_classes, channels=64, kernel_size=3, **kwargs):
        sizes = {"channels": channels, "kernel_size": kernel_size}
        super().__init__(num_classes, sizes, **kwargs)
        self.hidden = [
            Conv2D(
                channels,
                kernel_size,
                padding="same",
                activation="relu",
                kernel_initializer="he_normal",
                name=name,
                dtype=self.dtype_policy,
            )
            for name in ("first", "second")
        ]

    def build(self, input_shape):
        shape = tuple(input_shape)
        for layer in self.hidden:
            layer.build(shape)
            shape = (*shape[:-1], self.sizes["channels"])
        self.classifier.build(shape)

    def extract_features(self, maskiges, training):
        del training
        features = maskiges
        for layer in self.hidden:
            features = layer(features)
        return features


@keras.saving.register_keras_serializable(package="gss_keras")
class WindowInverse(LearnedInverse):
    """Classify maskige pixels with Swin blocks: the inverse of FT-W.

    A trained inverse with a large receptive field, which corrects blur and
    mistakes of the tokenizer and the prior. A 1x1 convolution projects colors
    to features, Swin blocks follow, and a classifier, all at the full
    resolution of the maskige.

    Args:
        num_classes: Number of classes.
        channels: Channels of the features; a multiple of `heads`.
        depth: Number of Swin blocks; every second one has shifted windows.
        heads: Attention heads.
        window: Side of an attention window in pixels of the maskige.
        **kwargs: `palette` and others, see `LearnedInverse`, which documents
            the call arguments, too.

    Reference:
        Chen et al., "Generative Semantic Segmentation", CVPR 2023, GSS-FT-W.
        The defaults are the release's for Cityscapes; for ADE20K and MSeg it
        has depth 2.
    """

    def __init__(
        self, num_classes, channels=128, depth=1, heads=4, window=7, **kwargs
    ):
        sizes = {
            "channels": channels,
            "depth": depth,
            "heads": heads,
            "window": window,
        }
        super().__init__(num_classes, sizes, **kwargs)
        dtype = self.dtype_policy
        self.projection = ProjectionBlock(
            channels, name="projection", dtype=dtype
        )
        self.blocks = swin_blocks(channels, depth, heads, window, dtype=dtype)
        self.norm = keras.layers.LayerNormalization(
            epsilon=1e-5, name="norm", dtype=dtype
        )

    def build(self, input_shape):
        self.projection.build(input_shape)
        shape = (*input_shape[:-1], self.sizes["channels"])
        for layer in [*self.blocks, self.norm, self.classifier]:
            layer.build(shape)

    def extract_features(self, maskiges, training):
        features = self.projection(maskiges, training=training)
        for block in self.blocks:
            features = block(features, training=training)
        return self.norm(features)
