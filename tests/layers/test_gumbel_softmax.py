"""Straight-through Gumbel-softmax: one-hot samples, softmax gradients."""

import keras
import numpy as np
import pytest
from keras import ops
from layer_checks import check_layer

from gss_keras.layers.gumbel_softmax import HardGumbelSoftmax

LOGITS = np.random.default_rng(0).normal(size=(2, 3, 4, 6)).astype("float32")


def to_numpy(tensor):
    return ops.convert_to_numpy(ops.stop_gradient(tensor))


@pytest.mark.parametrize(
    "temperature",
    [0.5, keras.optimizers.schedules.ExponentialDecay(1.0, 10, 0.5)],
)
def test_as_a_layer(temperature, tmp_path):
    outputs = check_layer(
        HardGumbelSoftmax,
        {"temperature": temperature, "seed": 3},
        LOGITS,
        LOGITS.shape,
        tmp_path,
    )
    np.testing.assert_array_equal(outputs.argmax(-1), LOGITS.argmax(-1))
    np.testing.assert_array_equal(np.sort(outputs)[..., :-1], 0)


def test_tokens_are_sampled_with_their_probabilities():
    logits = np.log(np.array([0.6, 0.3, 0.1], "float32"))
    layer = HardGumbelSoftmax(temperature=0.1, seed=1)
    samples = to_numpy(layer(np.tile(logits, (20000, 1)), training=True))
    np.testing.assert_allclose(samples.max(-1), 1, atol=1e-6)
    # Five standard deviations of a frequency in 20000 samples are below 0.018.
    frequencies = np.round(samples).mean(axis=0)
    np.testing.assert_allclose(frequencies, [0.6, 0.3, 0.1], atol=0.018)


def test_training_without_noise_is_the_argmax():
    layer = HardGumbelSoftmax(temperature=2.0, noise=0.0)
    tokens = to_numpy(layer(LOGITS, training=True)).argmax(-1)
    np.testing.assert_array_equal(tokens, LOGITS.argmax(-1))


@keras.saving.register_keras_serializable(package="tests")
class SampledValue(keras.Model):
    """Return the value of the sampled token; the logits are trainable."""

    def __init__(self, values, temperature):
        super().__init__()
        self.values = values
        self.sample = HardGumbelSoftmax(temperature, noise=0.0)

    def build(self, input_shape):
        del input_shape
        self.logits = self.add_weight((1, 3), "zeros", name="logits")
        self.sample.build((1, 3))

    def call(self, inputs, training=None):
        logits = self.logits + 0 * inputs[:, :1]
        sampled = self.sample(logits, training=training)
        values = ops.convert_to_tensor(self.values)
        return ops.sum(sampled * values, axis=-1, keepdims=True)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_gradients_equal_those_of_the_softmax(temperature):
    values = np.array([1.0, -2.0, 4.0], "float32")
    logits = np.array([[0.2, 0.5, -0.1]], "float32")
    model = SampledValue(values, temperature)
    model.build((None, 1))
    model.logits.assign(logits)
    # The loss is the value, so a step with learning rate 1 gives its gradient.
    model.compile(keras.optimizers.SGD(1.0), loss=lambda _, value: value)
    history = model.fit(np.zeros((1, 1)), np.zeros((1, 1)), verbose=0)
    assert history.history["loss"][0] == pytest.approx(-2.0)
    soft = np.exp(logits / temperature)
    soft /= soft.sum()
    expected = soft * (values - (soft * values).sum()) / temperature
    gradient = logits - to_numpy(model.logits)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


def test_the_temperature_follows_its_schedule():
    schedule = keras.optimizers.schedules.ExponentialDecay(1.0, 1, 0.5)
    layer = HardGumbelSoftmax(schedule)
    layer.build(LOGITS.shape)
    for expected in (1.0, 0.5, 0.25):
        assert float(layer.current_temperature()) == pytest.approx(expected)
        layer(LOGITS, training=True)
        layer(LOGITS)


@pytest.mark.parametrize("temperature", [0, -1.0])
def test_invalid_arguments_are_errors(temperature):
    with pytest.raises(ValueError, match="`temperature` must be above 0"):
        HardGumbelSoftmax(temperature)
    with pytest.raises(ValueError, match="`noise` must not be negative"):
        HardGumbelSoftmax(noise=-1.0)
