"""Kernel initializers that draw the same values on every backend."""

import math
import random

import keras
import numpy as np


@keras.saving.register_keras_serializable(package="gss_keras")
class FanOutNormal(keras.initializers.Initializer):
    """He normal initialization by fan-out, for convolution kernels.

    This is the initialization of the official release of EfficientNet and of
    PyTorch's ResNet. NumPy draws the values: JAX would compile one program
    for every new shape, which took 15 seconds for `EfficientNetLite`.
    `keras.utils.set_random_seed` sets the seed.
    """

    def __call__(self, shape, dtype=None):
        """Draw a kernel from a normal distribution of mean 0.

        Args:
            shape: Shape of the kernel, `(rows, columns, ..., filters)`.
            dtype: Name of its dtype; by default Keras' `floatx`.

        Returns:
            Tensor of that shape, of variance `2 / (rows * columns *
            filters)`.
        """
        scale = math.sqrt(2 / (math.prod(shape[:2]) * shape[-1]))
        generator = np.random.default_rng(random.getrandbits(64))
        values = scale * generator.standard_normal(shape, dtype="float32")
        return keras.ops.convert_to_tensor(values, dtype=dtype)
