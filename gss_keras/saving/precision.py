"""Build layers in another precision than the one that is set."""

import contextlib

import keras

# The types that models of this package compute in.
PRECISIONS = (
    "float32",
    "mixed_bfloat16",
    "mixed_float16",
    "bfloat16",
    "float16",
)


@contextlib.contextmanager
def precision(name):
    """Build layers in a precision, and set the earlier one again.

    What needs float32 keeps it whatever is set: class, token and color
    logits, softmax, cross-entropies, colors and batch statistics.

    Args:
        name: One of `PRECISIONS`, or a Keras dtype policy of that name; None
            for the one that is set. "mixed_bfloat16" computes in bfloat16
            and keeps float32 weights, which training needs; "bfloat16" keeps
            bfloat16 weights, too.

    Raises:
        ValueError: If there is no such precision.

    Example:
        >>> with precision("mixed_bfloat16"):
        ...     layer = keras.layers.Dense(3)
        >>> layer.compute_dtype
        'bfloat16'
    """
    name = check_precision(name)
    before = keras.config.dtype_policy()
    if name:
        keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def check_precision(name):
    """Return the name of a precision or None; raise unless there is one."""
    name = getattr(name, "name", name)
    if name not in (None, *PRECISIONS):
        raise ValueError(
            f"`dtype` must be one of {PRECISIONS} or None. "
            f"Received: dtype={name!r}"
        )
    return name


def without_types(config):
    """Leave out which types a saved model's layers computed in.

    Built from what is left, a layer computes in the precision that is set,
    or in the one that it insists on.

    Args:
        config: What `keras.saving.serialize_keras_object` gave.

    Returns:
        The same without the types of layers. Those of inputs stay, which say
        what comes in.

    Example:
        >>> config = keras.saving.serialize_keras_object(keras.layers.ReLU())
        >>> sorted(set(config["config"]) - set(without_types(config)["config"]))
        ['dtype']
    """
    if isinstance(config, list | tuple):
        return [without_types(value) for value in config]
    if not isinstance(config, dict):
        return config
    kept = {
        key: without_types(value)
        for key, value in config.items()
        if not (key == "dtype" and _is_policy(value))
    }
    # Backbones of ours keep a policy by its name, as inputs keep a type.
    if str(kept.get("registered_name")).startswith("gss_keras>"):
        kept["config"].pop("dtype", None)
    return kept


def _is_policy(value):
    return isinstance(value, dict) and "DTypePolicy" in str(
        value.get("class_name")
    )
