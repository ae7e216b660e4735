"""Dense layer that computes in one go what it can."""

import keras

from gss_keras.ops.kernels import project


@keras.saving.register_keras_serializable(package="gss_keras")
class Dense(keras.layers.Dense):
    """Keras' `Dense`, without passes over the map for bias and GELU.

    Arguments, weights and results are always the same; see
    `layers.kernels.project`.

    Call arguments:
        inputs: Float tensor of shape `(..., any)`.
    """

    def call(self, inputs, training=None):
        del training  # which is for quantized calls
        return project(inputs, self.kernel, self.bias, self.activation)

    def quantize(self, mode=None, type_check=True, config=None):
        # Keras refuses subclasses, which might compute something else.
        del type_check
        super().quantize(mode, type_check=False, config=config)
