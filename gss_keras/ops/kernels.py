"""Convolution, dense, attention and normalization kernels per backend."""

import keras
from keras import ops

# SIMD width in float32 values. With fewer classes along the last axis,
# PyTorch's cross-entropy runs scalar code, six times slower.
_SIMD_WIDTH = 16


def set_kernel_layout(variable):
    """Store a convolution kernel in the memory layout PyTorch computes in.

    PyTorch expects the filters on the first axis, Keras has them on the last.
    So PyTorch transposed kernels in memory at every call: 41 % of the time of
    a convolution of 16 x 16 positions and 512 channels. Only the memory
    strides change: shape, values and files stay the same, and assignments
    keep the layout.

    Args:
        variable: Variable of shape `(rows, columns, channels, filters)`.
    """
    if keras.backend.backend() != "torch":
        return
    import torch

    kernel = variable.value
    # There is no parameter yet while Keras only infers shapes.
    if isinstance(kernel, torch.nn.Parameter):
        filters_first = kernel.data.permute(3, 0, 1, 2).contiguous()
        kernel.data = filters_first.permute(1, 2, 3, 0)


def convolve(
    features, kernel, padding="same", strides=1, dilation=1, bias=None
):
    """Apply a 2-D convolution, channels last.

    On PyTorch, Keras' own convolution copies its input and its output to a
    memory layout that PyTorch does not need.

    Args:
        features: Float tensor of shape `(batch, height, width, channels)`.
        kernel: Tensor or variable `(side, side, channels, filters)`; with
            fewer channels than the features, the convolution is grouped.
        padding: "valid" for none, or "same" for zeros on all sides; then
            `strides` is 1 and the kernel's sides are odd.
        strides: Stride in positions.
        dilation: Dilation rate.
        bias: Tensor or variable `(filters,)` to add, or None.

    Returns:
        Tensor of shape `(batch, rows, columns, filters)`, with as many rows
        and columns as in Keras.
    """
    if keras.backend.backend() == "torch":
        import torch.nn.functional as F  # noqa: N812

        weight = ops.convert_to_tensor(kernel)
        if weight.shape[:2] == (1, 1) and strides in (1, (1, 1)):
            return project(features, weight[0, 0], bias)
        bias = None if bias is None else ops.cast(bias, features.dtype)
        result = F.conv2d(
            features.permute(0, 3, 1, 2), weight.permute(3, 2, 0, 1), bias,
            stride=strides, padding=padding, dilation=dilation,
            groups=features.shape[-1] // weight.shape[2],
        )  # fmt: skip
        return result.permute(0, 2, 3, 1)
    result = ops.conv(
        features, kernel, strides=strides, padding=padding,
        data_format="channels_last", dilation_rate=dilation,
    )  # fmt: skip
    return result if bias is None else add_bias(result, bias)


def add_bias(features, bias):
    """Add a bias per channel, fused into a preceding convolution if possible.

    Args:
        features: Float tensor `(batch, height, width, channels)`.
        bias: Tensor or variable `(channels,)`.

    Returns:
        Tensor of the shape and dtype of `features`.
    """
    bias = ops.cast(bias, features.dtype)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # TensorFlow fuses only this operation, not a plain addition.
        return tf.nn.bias_add(features, bias)
    return features + bias


def has_fast_conv_transpose():
    """Return whether `conv_transpose` is the fastest way to upsample."""
    return keras.backend.backend() == "torch"


def conv_transpose(features, kernel, bias):
    """Apply a transposed convolution of stride 2, padding 1; PyTorch only.

    Args:
        features: Float tensor of shape `(batch, height, width, channels)`.
        kernel: Tensor `(4, 4, channels, filters)`.
        bias: Tensor `(filters,)`.

    Returns:
        Tensor of shape `(batch, 2 * height, 2 * width, filters)`.
    """
    import torch.nn.functional as F  # noqa: N812

    result = F.conv_transpose2d(
        ops.convert_to_tensor(features).permute(0, 3, 1, 2),
        kernel.permute(2, 3, 0, 1), bias,
        stride=2, padding=1,
    )  # fmt: skip
    return result.permute(0, 2, 3, 1)


def keras_conv_copies():
    """Return whether Keras' own convolutions copy maps, see `convolve`."""
    return keras.backend.backend() == "torch"


def project(features, kernel, bias=None, activation=lambda result: result):
    """Apply a dense layer: matrix product, bias and activation.

    Keras adds the bias in a second pass over the result. TensorFlow fuses
    bias and GELU only into a product of two matrices, so the features are
    flattened to a matrix.

    Args:
        features: Float tensor of shape `(..., channels)`.
        kernel: Tensor or variable `(channels, units)`.
        bias: Tensor or variable `(units,)` to add, or None.
        activation: Elementwise function, the identity by default.

    Returns:
        Tensor of shape `(..., units)`.
    """
    if keras.backend.backend() == "torch":
        import torch.nn.functional as F  # noqa: N812

        kernel = ops.cast(kernel, features.dtype)
        bias = None if bias is None else ops.cast(bias, features.dtype)
        return activation(F.linear(features, kernel.T, bias))
    kernel = ops.cast(kernel, features.dtype)
    flat = ops.reshape(features, (-1, kernel.shape[0]))
    result = ops.matmul(flat, kernel)
    if bias is not None:
        result = add_bias(result, bias)
    result = activation(result)
    return ops.reshape(result, (*ops.shape(features)[:-1], kernel.shape[1]))


def attention(query, key, value, bias):
    """Compute scaled dot-product attention with an additive bias.

    PyTorch has a fused kernel that never materializes all scores. With
    gradients it is slower, so it is used for inference only.

    Args:
        query: Float tensor of shape `(..., heads, queries, channels)`, with
            at least one axis before the heads.
        key: Float tensor of shape `(..., heads, keys, channels)`.
        value: Float tensor of the shape of `key`.
        bias: Float32 tensor to add to the scores, of a shape that broadcasts
            to `(..., heads, queries, keys)`.

    Returns:
        Tensor of the shape of `query`.
    """
    if keras.backend.backend() == "torch" and not any(
        tensor.requires_grad for tensor in (query, key, value, bias)
    ):
        import torch.nn.functional as F  # noqa: N812

        # The fused kernel takes exactly one axis before the heads.
        if len(bias.shape) > 3:
            bias = bias.expand(*query.shape[:-1], key.shape[-2])
        flat = (tensor.flatten(0, -4) for tensor in (query, key, value))
        bias = ops.cast(bias, query.dtype)
        bias = bias.flatten(0, -4) if len(bias.shape) > 3 else bias[None]
        result = F.scaled_dot_product_attention(*flat, bias)
        return result.reshape(query.shape)
    scores = ops.matmul(
        query * query.shape[-1] ** -0.5, ops.swapaxes(key, -2, -1)
    )
    # In half precision, probabilities would not sum to one.
    weights = ops.softmax(ops.cast(scores, "float32") + bias, axis=-1)
    return ops.matmul(ops.cast(weights, value.dtype), value)


def gelu(features):
    """Apply the exact GELU activation.

    Args:
        features: Float tensor.

    Returns:
        Tensor of the same shape and dtype.
    """
    if keras.backend.backend() != "tensorflow":
        return keras.activations.gelu(features, approximate=False)
    import tensorflow as tf

    # TensorFlow fuses this sequence of operations into a matrix product.
    probability = 0.5 * (1.0 + tf.math.erf(features * 0.5**0.5))
    return features * probability


def cross_entropy(labels, logits):
    """Compute the cross-entropy per position in few passes over the logits.

    Args:
        labels: Int tensor of shape `(...)`, values in `[0, classes)`.
        logits: Float32 tensor of shape `(..., classes)`.

    Returns:
        Float32 tensor of shape `(...)`, in nats.
    """
    logits = ops.convert_to_tensor(logits)
    if keras.backend.backend() == "torch":
        import torch.nn.functional as F  # noqa: N812

        labels = ops.cast(labels, "int64")
        if logits.shape[-1] < _SIMD_WIDTH:
            logits = logits.movedim(-1, 1)
            return F.cross_entropy(logits, labels, reduction="none")
        losses = F.cross_entropy(
            logits.flatten(0, -2), labels.flatten(), reduction="none"
        )
        return losses.reshape(labels.shape)
    highest = ops.max(logits, axis=-1, keepdims=True)
    lowered = logits - ops.stop_gradient(highest)
    true = ops.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    total = ops.sum(ops.exp(lowered), axis=-1)
    return ops.log(total) - ops.sum(lowered * true, axis=-1)


def batch_norm(features, scale, shift, epsilon):
    """Apply batch normalization with batch statistics, in one fused kernel.

    Keras makes some ten passes over the features, and as many for the
    gradients.

    Args:
        features: Float32 tensor of shape `(batch, rows, columns, channels)`.
        scale: Float32 tensor `(channels,)`, called gamma in Keras.
        shift: Float32 tensor `(channels,)`, called beta in Keras.
        epsilon: Float that is added to the variances.

    Returns:
        Tensor of the shape of `features`, and the mean and the biased
        variance of each channel, both `(channels,)`; None if the backend has
        no such kernel.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        result, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=features, scale=scale, offset=shift, mean=[], variance=[],
            epsilon=epsilon, is_training=True,
        )  # fmt: skip
        count = tf.cast(tf.size(features) // tf.size(mean), "float32")
        return result, mean, variance * _bessel_inverse(count)
    count = features.shape[0] * features.shape[1] * features.shape[2]
    if keras.backend.backend() == "torch" and count > 1:
        import torch

        mean, variance = torch.zeros_like(scale), torch.zeros_like(scale)
        result = torch.batch_norm(
            features.permute(0, 3, 1, 2), scale, shift, mean, variance,
            training=True, momentum=1.0, eps=epsilon, cudnn_enabled=True,
        )  # fmt: skip
        result = result.permute(0, 2, 3, 1)
        return result, mean, variance * _bessel_inverse(count)
    return None


def _bessel_inverse(count):
    """Return the factor from an unbiased variance to the biased one."""
    return (count - 1) / count
