"""Compare the official heads, from feature maps to losses and gradients."""

import keras
import numpy as np
from keras import ops

import gss_keras
from gss_keras.maskige import NearestColorInverse
from gss_keras.models.stage import Stage
from gss_keras.ops.backend import argmax, resize_bilinear
from gss_keras.tokenizer.discrete_vae import PIXEL_OFFSET, PIXEL_SCALE
from weights_conversion import heads, official, porting
from weights_conversion.golden.comparison import (
    BLOCK,
    CHAIN,
    CLEAR,
    agree,
    compare,
    to_numpy,
)

_STRIDES = (4, 8, 16, 32)
# Smaller margins between squared distances of colors in 0-255 are near ties.
_CLEAR_DISTANCE = 2.0


class StoredPyramid(keras.Model):
    """A backbone whose feature maps are weights and ignore the photo.

    This gives access to the gradients of the feature maps.

    Args:
        maps: List of arrays `(batch, h, w, channels)` of strides 4 to 32.
    """

    def __init__(self, maps):
        super().__init__(name="stored_pyramid")
        self.channels = {}
        for stride, array in zip(_STRIDES, maps, strict=True):
            self.channels[stride] = array.shape[-1]
            weight = self.add_weight(
                shape=array.shape, initializer="zeros", name=f"stride_{stride}"
            )
            weight.assign(array)
        self.built = True

    def call(self, photos):
        """Return the stored feature maps."""
        del photos
        maps = (ops.convert_to_tensor(weight) for weight in self.weights)
        return dict(zip(_STRIDES, maps, strict=True))


def verify_head(golden):
    """Compare a head and its tokenizer on the feature maps of the file."""
    settings = golden.meta["config"]
    for case in golden.cases():
        if f"in/{case}/feat0" in golden:
            prior, photos = _prior_on(golden, case, settings)
            yield from _prediction(golden, case, prior, photos)
    # Gradients overwrite the weights, so they are compared last.
    prior, photos = _prior_on(golden, "test", settings)
    segmenter = gss_keras.GenerativeSegmenter(prior)
    if "out/train/target_pixel" in golden:
        yield from _palette(golden, prior.posterior)
        yield from _reconstruction(golden, prior.posterior)
        yield from _targets(golden, prior, photos)
        yield from _losses(golden, prior, photos)
        yield from _gradients(golden, prior, photos, prior)
    elif "out/train/loss_ce" in golden:
        yield from _learned_inverse(golden, segmenter, photos)
        yield from _gradients(golden, segmenter, photos, prior)


def _prior_on(golden, case, settings):
    """Build the prior on the feature maps of a case, and matching photos."""
    maps = [golden.map(f"in/{case}/feat{level}") for level in range(4)]
    prior = official.build_prior(
        golden.weights(), settings, StoredPyramid(maps)
    )
    batch, height, width = maps[0].shape[:3]
    photos = np.zeros((batch, 4 * height, 4 * width, 3), "float32")
    return prior, ops.convert_to_tensor(photos)


def _prediction(golden, case, prior, photos):
    """Compare feature maps -> token logits -> tokens -> maskige -> classes."""
    yield from _intermediate_features(golden, case, prior)
    logits = to_numpy(prior.token_logits(photos))
    scale = logits.std()
    if f"out/{case}/vq_logits" in golden:
        expected = golden.map(f"out/{case}/vq_logits")
        yield compare(f"{case}/vq_logits", logits, expected)
    tokens = golden.raw(f"out/{case}/vq_indices")[:, 0]
    is_clear = golden.raw(f"out/{case}/vq_margin") > CLEAR * scale
    yield agree(f"{case}/vq_indices", logits.argmax(-1), tokens, is_clear)

    maskige = to_numpy(prior.posterior.tokenizer.decode(tokens))
    expected = golden.map(f"out/{case}/maskige") / 255
    yield compare(f"{case}/maskige", maskige, expected)
    scores = to_numpy(prior.posterior.inverse(expected, training=False))
    if f"out/{case}/seg_logits" in golden:
        reference = golden.map(f"out/{case}/seg_logits")
        yield compare(f"{case}/seg_logits", scores, reference)
    else:
        is_clear = golden.raw(f"out/{case}/sqdist_margin") > _CLEAR_DISTANCE
        classes = golden.raw(f"out/{case}/class_map")
        yield agree(f"{case}/class_map", scores.argmax(-1), classes, is_clear)


def _intermediate_features(golden, case, prior):
    """Compare the fused features and the output of the Swin blocks."""
    if f"out/{case}/fused" not in golden:
        return
    features = prior.fusion(list(prior.backbone(None).values()))
    expected = golden.map(f"out/{case}/fused")
    yield compare(f"{case}/fused", to_numpy(features), expected, BLOCK)
    for block in prior.blocks:
        features = block(features, training=False)
    received = to_numpy(features)
    received = received.reshape(len(received), -1, received.shape[-1])
    expected = golden.raw(f"out/{case}/transformer_tokens")
    tolerance = BLOCK if len(prior.blocks) == 1 else CHAIN
    yield compare(f"{case}/transformer_tokens", received, expected, tolerance)


def _palette(golden, posterior):
    """Compare colors of classes, and distances of pixels to them."""
    if "out/palette/encode_to_segmap" not in golden:
        return
    masks = golden.raw("in/recon/gt")[:, 0]
    received = 255 * to_numpy(posterior.mapping(masks))
    expected = golden.map("out/palette/encode_to_segmap")
    yield compare("palette/encode_to_segmap", received, expected, 1e-6)
    maskige = golden.map("in/palette/maskige_crop") / 255
    logits = to_numpy(posterior.inverse(maskige))
    distances = np.sum(maskige**2, -1, keepdims=True) - logits
    expected = golden.map("out/palette/sqdist_noignore")
    yield compare("palette/sqdist_noignore", 255**2 * distances, expected)
    with_ignore = NearestColorInverse(
        np.vstack([posterior.palette, posterior.mapping.ignore_color])
    )
    for name, scores in (
        ("noignore", logits),
        ("keepignore", to_numpy(with_ignore(maskige))),
    ):
        best_two = 255**2 * np.sort(scores, axis=-1)[..., -2:]
        is_clear = best_two[..., 1] - best_two[..., 0] > _CLEAR_DISTANCE
        expected = golden.raw(f"out/palette/class_{name}")[:, 0]
        yield agree(
            f"palette/class_{name}", scores.argmax(-1), expected, is_clear
        )


def _reconstruction(golden, posterior):
    """Compare reconstructions of masks that are not upscaled.

    The release's encoder drops pixels that do not fill a token, and the
    reconstruction is stretched; `LatentPosterior` pads masks instead.
    """
    if "out/recon/class_map" not in golden:
        return
    tokenizer = posterior.tokenizer
    posterior = gss_keras.LatentPosterior(
        posterior.palette,
        tokenizer,
        mask_scale=1,
        ignore_color=posterior.config["ignore_color"],
        alignment="stretch",
    )
    masks = golden.raw("in/recon/gt")[:, 0]
    pixels = PIXEL_SCALE * posterior.mapping(masks) + PIXEL_OFFSET
    tokens = argmax(tokenizer.to_logits(tokenizer.encoder(pixels)))
    logits = to_numpy(
        posterior.class_logits(tokenizer.decode(tokens), *masks.shape[1:])
    )
    expected = golden.raw("out/recon/class_map")
    yield agree("recon/class_map", logits.argmax(-1), expected, least=0.995)


def _targets(golden, prior, photos):
    """Compare the target tokens that masks are encoded to."""
    masks = prior.posterior.pad_and_upscale(golden.raw("in/train/gt")[:, 0])
    expected = golden.raw("out/train/target_pixel")[:, 0]
    yield agree("train/target_pixel", to_numpy(masks), expected)

    pixels = prior(photos, training=False)["pixel_logits"]
    expected = golden.map("out/train/pixel_logits_lowres")
    yield compare("train/pixel_logits_lowres", to_numpy(pixels), expected)
    pixels = resize_bilinear(pixels, *masks.shape[1:])
    expected = golden.map("out/train/pixel_logits_up")
    received = to_numpy(pixels)[: len(expected)]
    yield compare("train/pixel_logits_up", received, expected)

    filled = golden.raw("out/train/filled_label_map")[:, 0]
    guesses = np.where(masks == 255, to_numpy(argmax(pixels)), to_numpy(masks))
    margin = golden.raw("out/train/pixel_logit_margin")
    is_clear = margin > CLEAR * to_numpy(pixels).std()
    yield agree("train/filled_label_map", guesses, filled, is_clear)

    tokens, counted = prior.posterior.target_tokens(
        masks, ops.convert_to_tensor(filled)
    )
    is_ignored = to_numpy(counted) == 0
    expected = golden.raw("out/train/target_indices_masked")[:, 0]
    vocabulary = prior.posterior.tokenizer.codebook_size
    yield agree("train/ignored tokens", is_ignored, expected == vocabulary)
    maskige = prior.posterior.mapping(filled)
    scale = to_numpy(prior.posterior.tokenizer.encode_logits(maskige)).std()
    is_clear = golden.raw("out/train/target_enc_margin") > CLEAR * scale
    is_clear &= ~is_ignored
    yield agree("train/target_indices", to_numpy(tokens), expected, is_clear)


def _losses(golden, prior, photos):
    """Compare each term of the loss, their sum, and the accuracies."""
    masks = ops.convert_to_tensor(golden.raw("in/train/gt")[:, 0])
    outputs = prior(photos, training=False)
    total = prior.compute_loss(photos, masks, outputs)
    terms = golden.meta["config"]["loss_decode"]
    token_weight, pixel_weight = (term["loss_weight"] for term in terms)
    size = golden.raw("out/train/target_pixel").shape[2:]
    guesses = argmax(resize_bilinear(outputs["pixel_logits"], *size))
    scores = gss_keras.SegmentationScores(prior.posterior.num_classes)
    scores.update_state(prior.posterior.pad_and_upscale(masks), guesses)
    received = {
        "acc_seg_indice": 100 * to_numpy(prior.token_accuracy.result()),
        "acc_seg_aux": to_numpy(scores.result()["pixel_accuracy"]),
        "loss_ce": token_weight * to_numpy(prior.token_loss.result()),
        "loss_ce_pixel": pixel_weight * to_numpy(prior.pixel_loss.result()),
        "total_loss": to_numpy(total),
    }
    for name, value in received.items():
        expected = golden.scalar(f"out/train/{name}")
        yield compare(f"train/{name}", value, expected)


def _learned_inverse(golden, segmenter, photos):
    """Compare the loss of FT-W on maskiges predicted by the prior."""
    if "out/train/projection" in golden:
        maskige = golden.map("out/test/maskige")[:1] / 255
        projection = segmenter.posterior.inverse.projection
        received = to_numpy(projection(maskige, training=False))
        expected = golden.map("out/train/projection")
        yield compare("train/projection", received, expected, BLOCK)
    masks = ops.convert_to_tensor(golden.raw("in/train/gt")[:, 0])
    loss = segmenter.compute_loss(photos, masks, segmenter(photos))
    received = {
        "loss_ce": to_numpy(loss),
        "acc_seg": to_numpy(segmenter.scores.result()["pixel_accuracy"]),
    }
    for name, value in received.items():
        expected = golden.scalar(f"out/train/{name}")
        yield compare(f"train/{name}", value, expected)


class _KeepGradients(keras.optimizers.Optimizer):
    """Optimizer that overwrites each variable with its gradient."""

    def update_step(self, gradient, variable, learning_rate):
        del learning_rate
        # TensorFlow's gradient of an embedding is an `IndexedSlices`; sum it.
        self.assign(variable, ops.add(ops.zeros(variable.shape), gradient))


class _InferenceMode(Stage):
    """Train a stage in inference mode: no dropout, moving batch statistics."""

    def __init__(self, stage):
        super().__init__(name="inference_mode")
        self.stage = stage
        self.built = True

    def learned_layers(self):
        return self.stage.learned_layers()

    def call(self, photos):
        return self.stage(photos, training=False)

    def compute_loss(self, *args, **kwargs):
        return self.stage.compute_loss(*args, **kwargs)


def _gradients(golden, stage, photos, prior):
    """Compare gradients of the loss, computed by one training step."""
    names = golden.names("out/train/grad/")
    model = _InferenceMode(stage)
    model.compile(_KeepGradients(1.0, name="keep_gradients"))
    masks = golden.raw("in/train/gt")[:, 0]
    model.train_on_batch(to_numpy(photos), masks)
    in_index = golden.meta["config"].get("in_index", heads.IN_INDEX)
    expected = heads.order_levels(
        {name: golden.raw(f"out/train/grad/{name}") for name in names},
        in_index,
    )
    layers = heads.prior_layers(prior)
    if prior.posterior.inverse.weights:
        layers |= heads.inverse_layers(prior.posterior.inverse)
    plan = porting.plan_layers(layers)
    for level, weight in enumerate(prior.backbone.weights):
        plan[f"feat{level}"] = (weight, (0, 2, 3, 1))
    for name, array in expected.items():
        variable, axes = plan[name]
        yield compare(
            f"grad/{name}",
            to_numpy(variable),
            porting.in_order_of_keras(array, axes),
        )
