import numpy as np
from keras import ops

from gss_keras.ops.upsampling import convolve_upsampled, upsample


def test_fused_upsampling_and_convolution():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, 5, 3, 4)).astype("float32")
    kernel = rng.normal(size=(3, 3, 4, 6)).astype("float32")
    bias = rng.normal(size=6).astype("float32")
    upsampled = features.repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(upsample(features)), upsampled
    )
    padded = np.pad(upsampled, [(0, 0), (1, 1), (1, 1), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(
        padded, (3, 3), axis=(1, 2)
    )
    expected = np.einsum("bhwcyx,yxcf->bhwf", windows, kernel) + bias
    found = ops.convert_to_numpy(convolve_upsampled(features, kernel, bias))
    np.testing.assert_allclose(found, expected, atol=1e-4)
