"""Dense layer that adds its bias within the product."""

import keras

from gss_keras.layers.kernels import project


@keras.saving.register_keras_serializable(package="gss_keras")
class Dense(keras.layers.Dense):
    """Keras' `Dense`, without a second pass over the map for the bias.

    Arguments, weights and results are always the same; see
    `layers.kernels.project`.

    Call arguments:
        inputs: Float tensor of shape `(..., any)`.
    """

    def call(self, inputs, training=None):
        del training  # which is for quantized calls
        result = project(inputs, self.kernel, self.bias)
        return self.activation(result)

    def quantize(self, mode=None, type_check=True, config=None):
        # Keras refuses subclasses, which might compute something else.
        del type_check
        super().quantize(mode, type_check=False, config=config)
