"""Batch normalization whose statistics are always float32."""

import keras


@keras.saving.register_keras_serializable(package="gss_keras")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' `BatchNormalization`, with float32 weights in any precision.

    Keras computes it in float32 but keeps the weights in the layer's own
    type. In "float16" a variance below 6e-8 would be zero; in "bfloat16" a
    moving average stops moving once its steps are below 1/256 of it.

    Example:
        >>> layer = BatchNormalization(dtype="bfloat16")
        >>> outputs = layer(keras.ops.ones((1, 4)))
        >>> keras.backend.standardize_dtype(outputs.dtype)
        'bfloat16'
        >>> {weight.dtype for weight in layer.weights}
        {'float32'}
    """

    @property
    def variable_dtype(self):
        return "float32"
