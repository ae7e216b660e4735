"""The optimizer and the learning-rate schedule of the recipes."""

import re

import keras
from keras import ops

# The release exempts relative position biases and parameters with "norm" in
# their name from weight decay; these are the names of the same variables here.
# Its batch norms, called "bn", and the layer norms after the last block of its
# heads, called "ln", do decay.
_UNDECAYED_IN_RELEASE = re.compile(
    r"(attention_norm|mlp_norm|patch_norm|level_norm_\d|merging_\d/norm)"
    r"/(gamma|beta)$|relative_position_bias$"
)


@keras.saving.register_keras_serializable(package="gss_keras")
class WarmupPolynomialDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Decay the learning rate polynomially to 0, with a linear warmup.

    The decay starts at step 0: during warmup, the decayed rate is multiplied
    by a factor that increases linearly from `warmup_ratio` to 1.

    Args:
        learning_rate: Initial rate of the decay.
        steps: Number of training steps, after which the rate is 0.
        warmup_steps: Number of warmup steps.
        power: Exponent of the decay; 1 for linear decay.
        warmup_ratio: Initial warmup factor.

    Reference:
        The schedule of the official release: 1500 steps of warmup from a
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
        remaining = ops.maximum(1.0 - step / self.steps, 0.0)
        cold = ops.maximum(1.0 - step / max(1, self.warmup_steps), 0.0)
        if not self.warmup_steps:
            cold = 0.0
        warmup = 1.0 - cold * (1.0 - self.warmup_ratio)
        return self.learning_rate * remaining**self.power * warmup

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
    """Build an AdamW optimizer with a `WarmupPolynomialDecay` schedule.

    Norms, biases, relative position biases and learned colors are exempt from
    weight decay.

    Args:
        learning_rate: Initial rate of the decay.
        steps: Number of training steps.
        warmup_steps: Number of steps of the linear warmup.
        weight_decay: Decoupled weight decay.
        undecayed: List of the variables to exempt from weight decay instead,
            such as `undecayed_in_release` returns it.
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
    """List the variables that the official release exempts from weight decay.

    These are fewer than usual: biases, batch norms and the layer norm after
    the attention blocks of its heads do decay.

    Args:
        model: A model to train, such as a `LatentPrior`.

    Returns:
        List of variables: the layer norms of Swin blocks and of Swin
        backbones, and relative position biases.
    """
    return [
        variable
        for variable in model.trainable_variables
        if _UNDECAYED_IN_RELEASE.search(variable.path)
    ]
