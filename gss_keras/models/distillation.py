"""Distill a posterior's encoder and decoder into lightweight networks."""

import keras
from keras import ops

from gss_keras.checks import check_masks
from gss_keras.direct.decoder import DirectDecoder, check_decoder
from gss_keras.direct.encoder import DirectEncoder, check_encoder
from gss_keras.distribution import shared_mean, split_loss
from gss_keras.models.losses import masked_cross_entropy
from gss_keras.models.metrics import SegmentationScores
from gss_keras.models.stage import Stage
from gss_keras.ops.backend import argmax
from gss_keras.ops.padding import crop
from gss_keras.saving.presets import PresetMixin


class _Distillation(PresetMixin, Stage):
    """Base class: distill a frozen posterior into a network, on masks only."""

    frozen_part = "posterior"

    def __init__(self, posterior, network, **kwargs):
        super().__init__(**kwargs)
        self.config = {}
        self.posterior = posterior
        if not network.built:
            network.build((None, None, None))
        self.built = True

    def learned_layers(self):
        return [getattr(self, self.parts[1])]

    def check_data(self, x, y=None):
        del y
        if hasattr(x, "dtype"):
            check_masks(x, self.posterior.num_classes)


@keras.saving.register_keras_serializable(package="gss_keras")
class DecoderDistillation(_Distillation):
    """Train a direct decoder to reconstruct masks from their tokens.

    Train with Keras' `fit` on masks only: a frozen posterior encodes them to
    tokens, and the decoder learns to predict the masks from the tokens. The
    targets are the true masks, not the posterior's reconstructions, which
    contain errors. `evaluate` scores the reconstructions, like the
    posterior's `evaluate`.

    Args:
        posterior: A `LatentPosterior`. It is frozen.
        decoder: A `DirectDecoder`; defaults to a new one, available as
            `decoder`.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        masks: Int tensor of shape `(batch, height, width)`.

    Returns:
        Float32 class logits of shape `(batch, height, width, num_classes)`.

    Raises:
        ValueError: If the decoder's sizes differ from the posterior's.

    Example:
    >>> import gss_keras
    >>> posterior = gss_keras.LatentPosterior(
    ...     gss_keras.palettes.maximal_distance(3),
    ...     gss_keras.DiscreteVAE.from_preset("maskige"),
    ... )
    >>> distillation = gss_keras.DecoderDistillation(posterior)
    >>> distillation.decoder.stride
    4
    """

    parts = ("posterior", "decoder")

    def __init__(self, posterior, decoder=None, **kwargs):
        decoder = decoder or DirectDecoder.for_posterior(posterior)
        check_decoder(decoder, posterior)
        super().__init__(posterior, decoder, **kwargs)
        self.decoder = decoder
        self.scores = SegmentationScores(posterior.num_classes)

    @property
    def is_adaptable(self):
        return self.decoder.table is not None

    def adapt(self, masks):
        """Initialize the decoder's table, see `DirectDecoder.adapt`."""
        self.decoder.adapt(self.posterior, masks)

    def call(self, masks):
        tokens = self.posterior.encode(masks)
        height, width = ops.shape(masks)[1], ops.shape(masks)[2]
        return crop(self.decoder(tokens), height, width)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        del y, sample_weight, training
        self.scores.update_state(x, argmax(y_pred))
        loss = masked_cross_entropy(x, y_pred, self.posterior.num_classes)
        return split_loss(loss)


@keras.saving.register_keras_serializable(package="gss_keras")
class EncoderDistillation(_Distillation):
    """Train a direct encoder to predict the tokens of masks.

    Train with Keras' `fit` on masks only. `fit` and `evaluate` report the
    token accuracy with respect to the tokenizer's own encoder. For the
    reconstruction mIoU, evaluate `posterior.with_encoder(encoder)`.

    Args:
        posterior: A `LatentPosterior` without a direct encoder. It is frozen.
        encoder: A `DirectEncoder`; defaults to a new one, available as
            `encoder`.
        **kwargs: Passed to `keras.Model`.

    Call arguments:
        masks: Int tensor of shape `(batch, height, width)`.

    Returns:
        Float features of shape `(batch, h, w, channels)`, which the encoder's
        vocabulary classifies into tokens.

    Raises:
        ValueError: If the encoder's sizes differ from the posterior's, or the
            posterior has a direct encoder.

    Example:
    >>> import gss_keras
    >>> posterior = gss_keras.LatentPosterior(
    ...     gss_keras.palettes.maximal_distance(3),
    ...     gss_keras.DiscreteVAE.from_preset("maskige"),
    ... )
    >>> distillation = gss_keras.EncoderDistillation(posterior)
    >>> cheaper = posterior.with_encoder(distillation.encoder)
    """

    parts = ("posterior", "encoder")

    def __init__(self, posterior, encoder=None, **kwargs):
        if posterior.encoder is not None:
            raise ValueError(
                "`posterior` must use its tokenizer's encoder, whose tokens "
                "are exact. Pass `posterior.with_encoder(None)`. "
                f"Received: a posterior with {posterior.encoder!r}"
            )
        encoder = encoder or DirectEncoder.for_posterior(posterior)
        check_encoder(encoder, posterior)
        super().__init__(posterior, encoder, **kwargs)
        self.encoder = encoder
        self.token_accuracy = keras.metrics.Mean("token_accuracy")

    def call(self, masks):
        return self.encoder.extract_features(masks)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        del y, sample_weight
        true_tokens = ops.stop_gradient(self.posterior.encode(x))
        counted = ops.ones_like(true_tokens, dtype="float32")
        total, tokens = self.encoder.vocabulary.cross_entropy(
            y_pred, true_tokens, counted, training
        )
        is_correct = ops.cast(tokens == true_tokens, "float32")
        self.token_accuracy.update_state(is_correct)
        return split_loss(shared_mean(total, ops.sum(counted)))
