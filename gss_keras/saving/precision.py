"""Build layers with another dtype policy than the global one."""

import contextlib

import keras

# Names of the dtype policies that models of this package support.
PRECISIONS = (
    "float32",
    "mixed_bfloat16",
    "mixed_float16",
    "bfloat16",
    "float16",
)


@contextlib.contextmanager
def precision(name):
    """Set the global dtype policy within a context.

    Some computations are in float32 under any policy: class, token and color
    logits, softmax, cross-entropies, colors and batch statistics.

    Args:
        name: One of `PRECISIONS`, or a Keras dtype policy of that name; None
            to keep the global policy. "mixed_bfloat16" computes in bfloat16
            with float32 weights, as training requires; "bfloat16" has bfloat16
            weights, too.

    Raises:
        ValueError: If the name is not one of `PRECISIONS`.

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
    """Return the name of a dtype policy, or None, and validate it.

    Raises:
        ValueError: If the name is not one of `PRECISIONS`.
    """
    name = getattr(name, "name", name)
    if name not in (None, *PRECISIONS):
        raise ValueError(
            f"`dtype` must be one of {PRECISIONS} or None. "
            f"Received: dtype={name!r}"
        )
    return name


def without_types(config):
    """Remove the dtype policies of layers from a serialized model.

    Layers that are deserialized from the result have the global dtype policy,
    or the dtype that their constructor sets.

    Args:
        config: Result of `keras.saving.serialize_keras_object`.

    Returns:
        The same without the dtype policies of layers. The dtypes of inputs
        are kept.

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
    # Backbones of this package serialize their policy as a plain string, like
    # the dtypes of inputs.
    if str(kept.get("registered_name")).startswith("gss_keras>"):
        kept["config"].pop("dtype", None)
    return kept


def _is_policy(value):
    return isinstance(value, dict) and "DTypePolicy" in str(
        value.get("class_name")
    )
