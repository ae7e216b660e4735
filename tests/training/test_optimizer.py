import json

import keras
import numpy as np

from gss_keras.training import WarmupPolynomialDecay, adamw


def test_schedule_equals_the_release(golden):
    numbers = np.load(golden / "lr_schedule.npz")
    for index, config in enumerate(json.loads(str(numbers["meta"]))["config"]):
        schedule = WarmupPolynomialDecay(
            config["base_lr"],
            config["max_iters"],
            config["warmup_iters"],
            config["power"],
            config["warmup_ratio"],
        )
        rates = [float(schedule(i)) for i in numbers[f"out/c{index}/iters"]]
        np.testing.assert_allclose(
            rates,
            numbers[f"out/c{index}/lr"],
            rtol=1e-5,
            atol=1e-6 * config["base_lr"],
        )


def test_schedule_without_warmup_starts_at_the_full_rate():
    assert float(WarmupPolynomialDecay(0.5, steps=10)(0)) == 0.5


def test_schedule_config_round_trip():
    schedule = WarmupPolynomialDecay(0.1, 100, 10, 0.9, 1e-3)
    twin = WarmupPolynomialDecay.from_config(schedule.get_config())
    assert float(twin(7)) == float(schedule(7))


def test_norms_and_biases_have_no_weight_decay():
    inputs = keras.Input((4,))
    outputs = keras.layers.LayerNormalization(name="norm")(inputs)
    outputs = keras.layers.Dense(2, bias_initializer="ones")(outputs)
    model = keras.Model(inputs, outputs)
    model.compile(adamw(1e-2, 10, 0, weight_decay=0.5), "mse")
    before = {w.path: keras.ops.convert_to_numpy(w) for w in model.weights}
    # With zero input, the kernel has no gradient and changes by weight decay
    # only; the target equals the output, so that nothing else changes.
    model.fit(np.zeros((1, 4)), np.ones((1, 2)), verbose=0)
    for weight in model.weights:
        changed = np.any(
            keras.ops.convert_to_numpy(weight) != before[weight.path]
        )
        assert changed == ("kernel" in weight.path), weight.path
