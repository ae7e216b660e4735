import keras
import numpy as np
import pytest
from keras import ops
from tiny import tiny_backbone, tiny_data

import gss_keras
from gss_keras.heads import HEADS, Head
from gss_keras.layers.conv_norm import ConvNorm
from gss_keras.ops.backend import resize_bilinear

SHAPES = {4: (2, 16, 24, 3), 8: (2, 8, 12, 4), 16: (2, 4, 6, 5)}
SHAPES |= {32: (2, 2, 3, 6)}


@keras.saving.register_keras_serializable(package="tests")
class CoarsestHead(Head):
    """A head of one's own, as a user would write it."""

    def build(self, features_shape):
        self.conv = ConvNorm(self.channels, 3, name="conv")
        self.conv.build(features_shape[32])

    def call(self, features, training=None):
        x = self.conv(features[32], training=training)
        return resize_bilinear(x, *ops.shape(features[4])[1:3])


def draw():
    generator = np.random.default_rng(0)
    return {
        stride: ops.convert_to_tensor(
            generator.normal(size=shape).astype("float32")
        )
        for stride, shape in SHAPES.items()
    }


@pytest.mark.parametrize("name", HEADS)
def test_maps_a_pyramid_to_features_at_its_finest_stride(name):
    head = HEADS[name](channels=8)
    features = head(draw())
    assert tuple(features.shape) == (2, 16, 24, 8)
    assert head.compute_output_shape(SHAPES) == (2, 16, 24, 8)
    symbolic = head(
        {k: keras.Input((None, None, v[-1])) for k, v in SHAPES.items()}
    )
    assert tuple(symbolic.shape) == (None, None, None, 8)
    # Every level that it reads matters.
    assert ops.convert_to_numpy(ops.std(features)) > 0


@pytest.mark.parametrize("name", HEADS)
def test_config_round_trip(name):
    head = HEADS[name](channels=8, name="mine")
    head(draw())
    saved = keras.saving.serialize_keras_object(head)
    loaded = keras.saving.deserialize_keras_object(saved)
    assert type(loaded) is HEADS[name]
    assert loaded.get_config() == head.get_config()


def test_a_head_of_ones_own(tmp_path):
    keras.utils.set_random_seed(0)
    segmenter = gss_keras.DiscriminativeSegmenter(
        tiny_backbone(), 5, CoarsestHead(channels=8), dropout=0.0
    )
    photos, masks = tiny_data()
    segmenter.compile(keras.optimizers.Adam(0.01))
    history = segmenter.fit(photos, masks, epochs=8, verbose=0).history
    assert history["loss"][-1] < 0.9 * history["loss"][0]
    expected = segmenter.predict_logits(photos)

    segmenter.save_to_preset(tmp_path / "preset")
    loaded = gss_keras.DiscriminativeSegmenter.from_preset(tmp_path / "preset")
    assert isinstance(loaded.head, CoarsestHead)
    np.testing.assert_array_equal(loaded.predict_logits(photos), expected)
    segmenter.save(tmp_path / "segmenter.keras")
    loaded = keras.saving.load_model(tmp_path / "segmenter.keras")
    np.testing.assert_array_equal(loaded.predict_logits(photos), expected)
