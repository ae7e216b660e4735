import keras
import numpy as np
import pytest
from keras import ops
from tiny import tiny_data, tiny_posterior, tiny_prior, tiny_tokenizer

import gss_keras


@pytest.fixture(scope="module")
def prior():
    """A prior shared by tests that do not train it."""
    keras.utils.set_random_seed(0)
    return tiny_prior()


class StoredFeatures(keras.Model):
    """A backbone that returns given feature maps for all photos."""

    def __init__(self, pyramid):
        super().__init__()
        self.pyramid = {s: ops.convert_to_tensor(m) for s, m in pyramid}
        self.channels = {s: m.shape[-1] for s, m in pyramid}
        self.built = True

    def call(self, photos):
        del photos
        return dict(self.pyramid)


def test_fit_trains_only_the_prior_and_reports_metrics():
    prior, (photos, masks) = tiny_prior(), tiny_data()
    frozen = prior.posterior.get_weights()
    backbone = prior.backbone.get_weights()
    prior.compile(keras.optimizers.Adam(1e-2))
    history = prior.fit(
        photos,
        masks,
        batch_size=2,
        epochs=3,
        validation_data=(photos, masks),
        verbose=0,
    ).history
    assert history["loss"][-1] < history["loss"][0]
    assert {"token_accuracy", "val_mIoU", "val_token_accuracy"} < set(history)
    assert "mIoU" not in history
    for old, new in zip(frozen, prior.posterior.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    changed = [
        np.any(old != new)
        for old, new in zip(backbone, prior.backbone.get_weights(), strict=True)
    ]
    assert np.mean(changed) > 0.9


@pytest.mark.parametrize("pixel_branch", ["separate", "shared", None])
def test_loss_is_the_weighted_sum_of_its_terms(pixel_branch):
    prior, (photos, masks) = tiny_prior(pixel_branch=pixel_branch), tiny_data()
    outputs = prior(photos, training=False)
    assert ("pixel_logits" in outputs) == (pixel_branch is not None)
    loss = prior.compute_loss(photos, masks, outputs)
    loss = float(ops.convert_to_numpy(loss))
    tokens, pixels = (
        float(metric.result())
        for metric in (prior.token_loss, prior.pixel_loss)
    )
    if pixel_branch is None:
        assert pixels == 0 and loss == pytest.approx(tokens)
    else:
        assert loss == pytest.approx(0.8 * tokens + 0.2 * pixels)
        assert pixels > 0


@pytest.mark.any_backend
def test_training_without_a_pixel_branch():
    prior, (photos, masks) = tiny_prior(pixel_branch=None), tiny_data()
    prior.compile(keras.optimizers.Adam(1e-2))
    losses = prior.fit(photos, masks, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("heads", [2, None])
def test_all_layers_are_built_by_the_constructor(heads):
    # Otherwise, Keras runs an additional batch on JAX to build the model.
    layers = tiny_prior(heads=heads)._flatten_layers()
    assert [layer.name for layer in layers if not layer.built] == []


def test_loss_of_a_fully_ignored_batch_is_zero():
    prior, (photos, masks) = tiny_prior(), tiny_data()
    photos = ops.convert_to_tensor(photos)
    loss = prior.compute_loss(
        photos, ops.full_like(masks, 255), prior(photos, training=False)
    )
    assert ops.convert_to_numpy(loss) == 0.0


@pytest.mark.parametrize("size", [(33, 47), (64, 32), (5, 70)])
def test_token_stride_is_four_for_any_photo_size(prior, size):
    photos = np.zeros((1, *size, 3), "uint8")
    grid = tuple(-(-side // 4) for side in size)
    assert prior.predict_tokens(photos).shape == (1, *grid)
    assert prior.token_logits(photos).shape == (1, *grid, 32)


def test_reusing_a_prior_for_other_classes(prior, tmp_path):
    prior.save_to_preset(tmp_path / "prior")
    posterior = gss_keras.LatentPosterior(
        gss_keras.palettes.maximal_distance(9), prior.posterior.tokenizer
    )
    new = gss_keras.LatentPrior.from_preset(
        tmp_path / "prior", posterior=posterior
    )
    photos = tiny_data()[0]
    np.testing.assert_allclose(
        ops.convert_to_numpy(new.token_logits(photos)),
        ops.convert_to_numpy(prior.token_logits(photos)),
        atol=1e-5,
    )
    assert new(photos)["pixel_logits"].shape[-1] == 9


def test_malformed_arguments_are_errors():
    with pytest.raises(ValueError, match="`backbone` must return feature maps"):
        gss_keras.LatentPrior(
            StoredFeatures([(4, np.zeros((1, 2, 2, 3)))]), tiny_posterior()
        )
    with pytest.raises(ValueError, match="`posterior` must have tokens of"):
        fine = gss_keras.LatentPosterior("camvid", tiny_tokenizer(groups=2))
        tiny_prior(fine)
    with pytest.raises(ValueError, match="`pixel_branch` must be"):
        tiny_prior(pixel_branch="single")


@pytest.mark.parametrize(
    ("photos", "masks", "message"),
    [
        ((2, 32, 48, 1), (2, 32, 48), "`photos` must be RGB"),
        ((2, 32, 48, 4), (2, 32, 48), "`photos` must be RGB"),
        ((2, 0, 48, 3), (2, 0, 48), "`photos` must be RGB"),
        ((2, 32, 48, 3), (2, 30, 48), "`masks` must have the size"),
    ],
)
def test_malformed_data_are_errors(prior, photos, masks, message):
    prior.compile("adam")
    with pytest.raises(ValueError, match=message):
        prior.fit(np.zeros(photos, "uint8"), np.zeros(masks, "int32"))


def test_masks_of_unknown_classes_are_errors(prior):
    prior.compile("adam")
    photos, masks = np.zeros((1, 32, 48, 3), "uint8"), np.full((1, 32, 48), 5)
    with pytest.raises(ValueError, match="`masks`"):
        prior.evaluate(photos, masks)


def test_photos_of_any_size_are_padded(prior):
    photos = tiny_data(height=27, width=45)[0]
    padded = np.pad(photos, ((0, 0), (0, 5), (0, 19), (0, 0)), mode="edge")
    expected, outputs = prior(padded), prior(photos)
    for name in ("features", "pixel_logits"):
        assert outputs[name].shape[1:3] == (7, 12)
        np.testing.assert_allclose(
            ops.convert_to_numpy(outputs[name]),
            ops.convert_to_numpy(expected[name])[:, :7, :12],
            atol=1e-5,
        )
    # Priors of earlier versions do not pad photos, so their features differ.
    config = prior.get_config()
    assert config.pop("pad_to") == 32
    old = gss_keras.LatentPrior.from_config(config)
    assert old.pad_to == 1
    old.set_weights(prior.get_weights())
    features = ops.convert_to_numpy(old(photos)["features"])
    assert (
        np.abs(features - ops.convert_to_numpy(outputs["features"])).max()
        > 1e-3
    )
    np.testing.assert_array_equal(
        old.predict_tokens(padded), prior.predict_tokens(padded)
    )
