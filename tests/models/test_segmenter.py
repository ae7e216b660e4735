import keras
import numpy as np
import pytest
from tiny import tiny_data, tiny_posterior, tiny_prior

import gss_keras
from gss_keras.inference.views import Views


@pytest.fixture(scope="module")
def segmenter():
    keras.utils.set_random_seed(0)
    return gss_keras.GenerativeSegmenter(tiny_prior())


def test_predict_one_photo_a_batch_and_a_list(segmenter):
    photos = tiny_data()[0]
    masks = segmenter.predict(photos)
    assert masks.dtype == np.int32
    assert masks.shape == photos.shape[:3]
    assert 0 <= masks.min() and masks.max() < 5
    np.testing.assert_array_equal(segmenter.predict(photos[1]), masks[1])
    sizes = [(32, 48), (17, 30)]
    results = segmenter.predict([photos[0][:h, :w] for h, w in sizes])
    assert [mask.shape for mask in results] == sizes
    np.testing.assert_array_equal(results[0], masks[0])


def test_uint8_and_float_photos_give_the_same_mask(segmenter):
    photos = tiny_data()[0]
    np.testing.assert_array_equal(
        segmenter.predict(photos), segmenter.predict(photos.astype("float32"))
    )


def test_masks_are_the_argmax_of_the_logits(segmenter):
    photos = tiny_data()[0]
    logits = segmenter.predict_logits(photos)
    assert logits.shape == (*photos.shape[:3], 5)
    np.testing.assert_array_equal(logits.argmax(-1), segmenter.predict(photos))


def test_sliding_windows(segmenter):
    photos = tiny_data()[0]
    logits = segmenter.predict_logits(photos, window=(40, 48))
    np.testing.assert_allclose(
        logits, segmenter.predict_logits(photos), atol=1e-5
    )
    masks = segmenter.predict(photos, window=(20, 32), stride=(12, 16))
    assert masks.shape == photos.shape[:3] and masks.dtype == np.int32
    logits = segmenter.predict_logits(photos, window=(20, 32), stride=(12, 16))
    np.testing.assert_array_equal(logits.argmax(-1), masks)


def test_a_segmenter_with_a_default_window():
    prior, photos = tiny_prior(), tiny_data()[0]
    segmenter = gss_keras.GenerativeSegmenter(prior, window=(20, 32))
    assert segmenter.stride == (14, 22)
    whole = segmenter.predict_logits(photos, window="whole")
    windows = segmenter.predict_logits(photos)
    assert np.abs(whole - windows).max() > 1e-3
    plain = gss_keras.GenerativeSegmenter(prior)
    np.testing.assert_array_equal(plain.predict_logits(photos), whole)
    explicit = plain.predict_logits(photos, window=(20, 32), stride=(14, 22))
    np.testing.assert_array_equal(explicit, windows)
    twin = gss_keras.GenerativeSegmenter.from_config(segmenter.get_config())
    assert (twin.window, twin.stride) == ((20, 32), (14, 22))
    with pytest.raises(ValueError, match="`stride` must not exceed"):
        gss_keras.GenerativeSegmenter(prior, window=(8, 8), stride=(9, 8))


@pytest.mark.parametrize("fit", [None, (48, 32)])
def test_a_single_view_of_the_photos_size(segmenter, fit):
    photos, views = tiny_data()[0], Views(fit=fit)
    for arguments in ({}, {"window": (20, 32), "stride": (12, 16)}):
        masks = segmenter.predict(photos, views=views, **arguments)
        assert masks.dtype == np.int32
        logits = segmenter.predict_logits(photos, **arguments)
        np.testing.assert_array_equal(masks, logits.argmax(-1))
        mask = segmenter.predict(photos[1], views=views, **arguments)
        np.testing.assert_array_equal(mask, masks[1])


def test_a_window_larger_than_all_views(segmenter):
    photo = tiny_data()[0][0]
    views = Views(scales=(0.5, 1.0), flip=True)
    np.testing.assert_array_equal(
        segmenter.predict(photo, views=views, window=(64, 80)),
        segmenter.predict(photo, views=views),
    )


def test_flipped_views_are_symmetric_for_a_symmetric_photo():
    inverse = keras.layers.Conv2D(5, 3, padding="same")
    segmenter = gss_keras.GenerativeSegmenter(tiny_prior(), inverse=inverse)
    half = tiny_data(width=24)[0][0]
    photo = np.concatenate([half, half[:, ::-1]], axis=1)
    recorded = []

    def record(probabilities):
        recorded.append(keras.ops.convert_to_numpy(probabilities))
        return probabilities

    for views in (Views(), Views(flip=True)):
        views.predict_mask(segmenter.predict_logits, photo, record)
    plain, averaged = recorded
    assert np.abs(plain - plain[:, ::-1]).max() > 1e-3
    # Masks are not compared: rounding decides between equal probabilities.
    np.testing.assert_allclose(averaged, averaged[:, ::-1], atol=1e-6)


def test_views_of_photos_of_different_sizes(segmenter):
    whole, other = tiny_data()[0][:2]
    photos = [whole, other[:17, :30]]
    views = Views(scales=(0.5, 1.0))
    masks = segmenter.predict(photos, views=views)
    assert [mask.shape for mask in masks] == [(32, 48), (17, 30)]
    assert all(0 <= mask.min() and mask.max() < 5 for mask in masks)
    single = segmenter.predict(photos[1], views=views)
    np.testing.assert_array_equal(masks[1], single)


def test_evaluate_in_windows_scores_the_predictions():
    photos, masks = tiny_data()
    segmenter = gss_keras.GenerativeSegmenter(tiny_prior(), window=(20, 32))
    segmenter.compile()
    from_arrays = segmenter.evaluate(photos, masks, batch_size=3)
    batches = [(photos[:1], masks[:1]), (photos[1:], masks[1:])]
    result = segmenter.evaluate(batches, return_dict=True)
    np.testing.assert_allclose(from_arrays, list(result.values()), rtol=1e-5)
    scores = gss_keras.SegmentationScores(5)
    scores.update_state(masks, segmenter.predict(photos))
    assert result["mIoU"] == pytest.approx(float(scores.result()["mIoU"]))
    whole = segmenter.evaluate(
        photos, masks, window="whole", return_dict=True, verbose=0
    )
    assert set(whole) == set(result)
    assert whole["loss"] != pytest.approx(result["loss"], rel=1e-4)


def test_the_inverse_of_predicted_maskiges_is_the_mask(segmenter):
    photos = tiny_data()[0]
    maskiges = segmenter.predict_maskiges(photos)
    assert maskiges.shape == photos.shape
    assert 0 <= maskiges.min() and maskiges.max() <= 1
    logits = keras.ops.convert_to_numpy(segmenter.posterior.inverse(maskiges))
    np.testing.assert_array_equal(logits.argmax(-1), segmenter.predict(photos))


def test_samples_depend_on_seed_and_temperature(segmenter):
    photos = tiny_data()[0]
    samples = segmenter.sample(photos, n=3, seed=7)
    assert samples.shape == (3, *photos.shape[:3])
    np.testing.assert_array_equal(
        samples, segmenter.sample(photos, n=3, seed=7)
    )
    assert np.any(samples[0] != samples[1])
    cold = segmenter.sample(photos[0], n=2, temperature=1e-6, seed=1)
    np.testing.assert_array_equal(cold[1], segmenter.predict(photos[0]))


def test_evaluate_scores_the_predictions(segmenter):
    photos, masks = tiny_data()
    segmenter.compile()
    result = segmenter.evaluate(photos, masks, verbose=0, return_dict=True)
    scores = gss_keras.SegmentationScores(5)
    scores.update_state(masks, segmenter.predict(photos))
    assert result["mIoU"] == pytest.approx(float(scores.result()["mIoU"]))


@pytest.mark.any_backend
def test_fit_trains_only_a_learned_inverse():
    posterior = tiny_posterior(inverse=keras.layers.Conv2D(5, 1))
    segmenter = gss_keras.GenerativeSegmenter(tiny_prior(posterior))
    photos, masks = tiny_data()
    learned = posterior.inverse.get_weights()
    before = [keras.ops.convert_to_numpy(w) for w in segmenter.weights]
    segmenter.compile(keras.optimizers.AdamW(0.1, weight_decay=0.1))
    segmenter.fit(photos, masks, verbose=0)
    inverse = {id(w) for w in posterior.inverse.weights}
    for weight, old in zip(segmenter.weights, before, strict=True):
        if id(weight) not in inverse:
            new = keras.ops.convert_to_numpy(weight)
            np.testing.assert_array_equal(old, new)
    for old, new in zip(learned, posterior.inverse.get_weights(), strict=True):
        assert np.any(old != new)


@pytest.mark.parametrize(
    "inverse",
    [pytest.param("conv", marks=pytest.mark.any_backend), "window"],
)
def test_fit_trains_only_the_segmenters_own_inverse(inverse, tmp_path):
    prior = tiny_prior()
    photos, masks = tiny_data()
    plain = gss_keras.GenerativeSegmenter(prior)
    segmenter = gss_keras.GenerativeSegmenter(prior, inverse=inverse)
    # A learned inverse is initialized as nearest color, the prior's inverse.
    np.testing.assert_array_equal(
        segmenter.predict(photos), plain.predict(photos)
    )
    before = [keras.ops.convert_to_numpy(w) for w in prior.weights]
    segmenter.compile(keras.optimizers.AdamW(0.003, weight_decay=0.1))
    losses = segmenter.fit(photos, masks, epochs=8, verbose=0).history["loss"]
    assert min(losses[1:]) < losses[0]
    for weight, old in zip(prior.weights, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), old)
    expected = segmenter.predict_logits(photos)
    segmenter.save_to_preset(tmp_path / "preset")
    loaded = gss_keras.GenerativeSegmenter.from_preset(tmp_path / "preset")
    np.testing.assert_allclose(
        loaded.predict_logits(photos), expected, atol=1e-4
    )
    with pytest.raises(ValueError, match="`inverse` must be a Keras layer or"):
        gss_keras.GenerativeSegmenter(prior, inverse="nearest")


def test_evaluating_a_segmenter_does_not_freeze_its_prior():
    prior, (photos, masks) = tiny_prior(), tiny_data()
    count = len(prior.trainable_variables)
    segmenter = gss_keras.GenerativeSegmenter(prior)
    segmenter.compile()
    segmenter.evaluate(photos, masks, verbose=0)
    assert len(prior.trainable_variables) == count > 0
    assert segmenter.trainable_variables == []


def test_predictions_are_the_same_after_loading(segmenter, tmp_path):
    photos = tiny_data()[0]
    expected = segmenter.predict(photos)
    segmenter.save(tmp_path / "segmenter.keras")
    loaded = keras.saving.load_model(tmp_path / "segmenter.keras")
    np.testing.assert_array_equal(loaded.predict(photos), expected)
    segmenter.save_to_preset(tmp_path / "preset")
    loaded = gss_keras.GenerativeSegmenter.from_preset(tmp_path / "preset")
    np.testing.assert_array_equal(loaded.predict(photos), expected)


def test_configs_of_earlier_versions_have_no_inverse(segmenter):
    config = segmenter.get_config()
    assert config.pop("inverse") is None
    twin = gss_keras.GenerativeSegmenter.from_config(config)
    assert twin.inverse is None
    assert "palette" in twin.posterior.get_config()


def test_loading_a_preset_for_other_classes(segmenter, tmp_path):
    segmenter.save_to_preset(tmp_path / "preset")
    new = gss_keras.GenerativeSegmenter.from_preset(
        tmp_path / "preset", posterior=tiny_posterior(num_classes=8)
    )
    assert new.predict_logits(tiny_data()[0]).shape[-1] == 8


@pytest.mark.parametrize(
    "photos",
    [
        np.zeros((8, 8), "uint8"),
        np.zeros((8, 8, 1), "uint8"),
        np.zeros((1, 8, 8, 4), "uint8"),
        np.zeros((0, 8, 8, 3), "uint8"),
        np.full((8, 8, 3), 256.0),
        np.full((8, 8, 3), np.nan),
        np.zeros((8, 8, 3), "bool"),
    ],
)
def test_malformed_photos_are_errors(segmenter, photos):
    with pytest.raises(ValueError, match="`photos` must.*Received"):
        segmenter.predict(photos)


def test_malformed_sampling_arguments_are_errors(segmenter):
    photos = tiny_data()[0]
    with pytest.raises(ValueError, match="`n` and `temperature`"):
        segmenter.sample(photos, n=0)
    with pytest.raises(ValueError, match="`n` and `temperature`"):
        segmenter.sample(photos, temperature=0)
