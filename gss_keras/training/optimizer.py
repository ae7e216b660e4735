"""What the recipes train with: one optimizer, one learning-rate schedule."""

import re

import keras
from keras import ops

# What the release's rule, parameters whose name there contains "norm" and
# relative position biases, means by our names. Its batch norms, called "bn",
# and the layer norms that close a stack of blocks in its heads, called "ln",
# do decay.
_UNDECAYED_IN_RELEASE = re.compile(
    r"(attention_norm|perceptron_norm|patch_norm|level_norm_\d|merging_\d/norm)"
    r"/(gamma|beta)$|relative_position_bias$"
)


@keras.saving.register_keras_serializable(package="gss_keras")
class WarmupPolynomialDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Raise the learning rate linearly, then let it fall to 0.

    Both happen at once: the falling rate is scaled down during the warm-up.

    Args:
        learning_rate: Rate that the decay starts from.
        steps: Number of training steps, at the end of which the rate is 0.
        warmup_steps: Number of steps of the warm-up.
        power: Exponent of the decay; 1 is a straight line.
        warmup_ratio: Share of the rate that the warm-up starts from.

    Reference:
        The schedule of the official release: 1500 steps of warm-up from a
        ratio of 1e-6, power 1.

    Example:
        >>> schedule = WarmupPolynomialDecay(1.0, steps=100, warmup_steps=10)
        >>> [round(float(schedule(step)), 3) for step in (0, 5, 10, 50, 100)]
        [0.0, 0.475, 0.9, 0.5, 0.0]
    """

    def __init__(
        self, learning_rate, steps, warmup_steps=0, power=1.0,
        warmup_ratio=1e-6,
    ):  # fmt: skip
        self.learning_rate = learning_rate
        self.steps = steps
        self.warmup_steps = warmup_steps
        self.power = power
        self.warmup_ratio = warmup_ratio

    def __call__(self, step):
        step = ops.cast(step, "float32")
        left = ops.maximum(1.0 - step / self.steps, 0.0)
        missing = ops.maximum(1.0 - step / max(1, self.warmup_steps), 0.0)
        if not self.warmup_steps:
            missing = 0.0
        warmth = 1.0 - missing * (1.0 - self.warmup_ratio)
        return self.learning_rate * left**self.power * warmth

    def get_config(self):
        return {
            "learning_rate": self.learning_rate,
            "steps": self.steps,
            "warmup_steps": self.warmup_steps,
            "power": self.power,
            "warmup_ratio": self.warmup_ratio,
        }


def adamw(
    learning_rate, steps, warmup_steps, weight_decay=0.01, undecayed=None,
    **kwargs,
):  # fmt: skip
    """Build the AdamW of the method, with its learning-rate schedule.

    Weights decay, but norms, biases, relative position biases and learned
    colors do not.

    Args:
        learning_rate: Rate that the decay starts from.
        steps: Number of training steps.
        warmup_steps: Number of steps of the linear warm-up.
        weight_decay: Weight decay, decoupled from the loss.
        undecayed: List of the variables that shall not decay, such as
            `undecayed_in_release` gives it; all others do then.
        **kwargs: Passed to `keras.optimizers.AdamW`, such as `clipnorm` or
            `use_ema`.

    Returns:
        A `keras.optimizers.AdamW` to compile a model with.
    """
    schedule = WarmupPolynomialDecay(learning_rate, steps, warmup_steps)
    optimizer = keras.optimizers.AdamW(
        schedule, weight_decay=weight_decay, **kwargs
    )
    if undecayed is None:
        optimizer.exclude_from_weight_decay(
            var_names=["norm", "gamma", "beta", "bias", "colors"]
        )
    else:
        optimizer.exclude_from_weight_decay(var_list=undecayed)
    return optimizer


def undecayed_in_release(model):
    """List the variables that the official release exempts from decay.

    It exempts less than is usual: biases, batch norms and the layer norm
    after the attention blocks of its heads decay.

    Args:
        model: A model that is to be trained, such as a `LatentPrior`.

    Returns:
        List of variables: the layer norms of Swin blocks and of Swin
        backbones, and relative position biases.
    """
    return [
        variable
        for variable in model.trainable_variables
        if _UNDECAYED_IN_RELEASE.search(variable.path)
    ]
