import keras
import numpy as np
import pytest
from tiny import tiny_backbone, tiny_data

import gss_keras
from gss_keras.models.discriminative import HEADS

HEAD_NAMES = [
    "fcn",
    pytest.param("segformer", marks=pytest.mark.any_backend),
    pytest.param("deeplab_v3_plus", marks=pytest.mark.any_backend),
]


def tiny_rival(head="fcn", **kwargs):
    return gss_keras.DiscriminativeSegmenter(
        tiny_backbone(), 5, head, channels=8, **kwargs
    )


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_each_head_predicts_learns_and_is_saved(head, tmp_path):
    keras.utils.set_random_seed(0)
    segmenter = tiny_rival(head, dropout=0.0)
    photos, masks = tiny_data()
    logits = segmenter.predict_logits(photos)
    assert logits.shape == (*photos.shape[:3], 5)
    predicted = segmenter.predict(photos)
    np.testing.assert_array_equal(predicted, logits.argmax(-1))
    # A size that no stride divides, with the same model.
    assert segmenter.predict(photos[0][:27, :35]).shape == (27, 35)

    segmenter.compile(keras.optimizers.Adam(0.01))
    history = segmenter.fit(photos, masks, epochs=12, verbose=0).history
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    scores = gss_keras.SegmentationScores(5)
    scores.update_state(masks, segmenter.predict(photos))
    found = segmenter.evaluate(photos, masks, verbose=0, return_dict=True)
    assert found["mIoU"] == pytest.approx(float(scores.result()["mIoU"]))

    expected = segmenter.predict_logits(photos)
    segmenter.save_to_preset(tmp_path / "preset")
    loaded = gss_keras.DiscriminativeSegmenter.from_preset(tmp_path / "preset")
    np.testing.assert_allclose(
        loaded.predict_logits(photos), expected, atol=1e-5
    )
    segmenter.save(tmp_path / "segmenter.keras")
    loaded = keras.saving.load_model(tmp_path / "segmenter.keras")
    np.testing.assert_allclose(
        loaded.predict_logits(photos), expected, atol=1e-5
    )


def test_ignored_pixels_teach_nothing():
    segmenter, (photos, masks) = tiny_rival(dropout=0.0), tiny_data()
    segmenter.compile(keras.optimizers.SGD(0.1))
    before = [np.array(v) for v in segmenter.trainable_variables]
    segmenter.fit(photos, np.full_like(masks, 255), verbose=0)
    for old, variable in zip(
        before, segmenter.trainable_variables, strict=True
    ):
        np.testing.assert_array_equal(np.array(variable), old)


def test_every_variable_belongs_to_the_training():
    segmenter = tiny_rival()
    state = {id(v) for v in segmenter.training_state()}
    metrics = {id(v) for v in segmenter.metrics_variables}
    assert state == {id(v) for v in segmenter.variables} - metrics
    assert {id(v) for v in segmenter.backbone.variables} <= state


def test_dropout_works_in_training_alone():
    segmenter, photos = tiny_rival(dropout=0.5), tiny_data()[0]

    def twice(training):
        return [
            keras.ops.convert_to_numpy(segmenter(photos, training=training))
            for _ in range(2)
        ]

    np.testing.assert_array_equal(*twice(training=False))
    wild = twice(training=True)
    assert np.abs(wild[0] - wild[1]).max() > 1e-3


def test_windows_and_unknown_heads():
    photos = tiny_data()[0]
    segmenter = tiny_rival(window=(20, 32))
    assert segmenter.stride == (14, 22)
    assert segmenter.predict(photos).shape == photos.shape[:3]
    config = segmenter.get_config()
    assert config["window"] == (20, 32) and config["head"] == "fcn"
    with pytest.raises(ValueError, match="`head` must be one of") as error:
        tiny_rival("unet")
    assert all(name in str(error.value) for name in HEADS)


def test_photos_of_any_size_are_seen_as_if_padded():
    segmenter = tiny_rival()
    photos = tiny_data(height=27, width=45)[0]
    padded = np.pad(photos, ((0, 0), (0, 5), (0, 19), (0, 0)), mode="edge")
    np.testing.assert_allclose(
        segmenter.predict_logits(photos),
        segmenter.predict_logits(padded)[:, :27, :45],
        atol=1e-5,
    )
