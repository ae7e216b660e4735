"""Dense layer with fused bias and activation."""

import keras

from gss_keras.ops.kernels import project


@keras.saving.register_keras_serializable(package="gss_keras")
class Dense(keras.layers.Dense):
    """Apply Keras' `Dense`, with bias and GELU fused into the matrix product.

    Arguments, weights and results are the same as in Keras; see
    `ops.kernels.project`.

    Call arguments:
        inputs: Float tensor of shape `(..., any)`.
    """

    def call(self, inputs, training=None):
        del training  # used by quantized calls only
        return project(inputs, self.kernel, self.bias, self.activation)

    def quantize(self, mode=None, type_check=True, config=None):
        # By default, Keras raises an error for subclasses of `Dense`.
        del type_check
        super().quantize(mode, type_check=False, config=config)
