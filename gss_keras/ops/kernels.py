"""Products and convolutions, each as fast as the backend can."""

import keras
from keras import ops

# Numbers that a processor takes at a time. Over an axis of fewer, PyTorch
# compares one class after the other, at six times the time.
_FEW = 16


def lay_out_kernel(variable):
    """Keep a kernel in memory in the order in which convolutions read it.

    PyTorch reads kernels filter by filter. Keras keeps them channel by
    channel, so they were turned anew at every call: 41 % of the time of a
    convolution of 16 x 16 positions and 512 channels. Shape and values, and
    hence files, stay as they are, and whatever is assigned is written into
    this order.

    Args:
        variable: Variable of shape `(rows, columns, channels, filters)`.
    """
    # There is no value yet where Keras only asks for shapes.
    if keras.backend.backend() == "torch" and variable._value is not None:
        numbers = variable._value.data.permute(3, 0, 1, 2).contiguous()
        variable._value.data = numbers.permute(1, 2, 3, 0)


def convolve(
    features, kernel, padding="same", strides=1, dilation=1, bias=None
):
    """Convolve maps, as fast as the backend can.

    Keras' own convolution copies maps on PyTorch, once before and once after
    it, to a layout that PyTorch does not ask for.

    Args:
        features: Float tensor of shape `(batch, height, width, channels)`.
        kernel: Tensor or variable `(side, side, channels, filters)`; with
            fewer channels than the maps have, for as many groups of them.
        padding: "valid" for none, or "same" for zeros on all sides; then
            `strides` is 1 and the kernel's sides are odd.
        strides: Positions from one kernel to the next.
        dilation: Positions from one kernel entry to the next.
        bias: Tensor or variable `(filters,)` to add, or None.

    Returns:
        Tensor of shape `(batch, height, width, filters)`, less what the
        kernel covers without padding, divided by the strides.
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
    """Add a number to each channel, as part of a convolution if it can be.

    Args:
        features: Float tensor `(batch, height, width, channels)`.
        bias: Tensor or variable `(channels,)`.

    Returns:
        Tensor of the shape and dtype of `features`.
    """
    bias = ops.cast(bias, features.dtype)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # By this name TensorFlow knows what it computes with a convolution.
        return tf.nn.bias_add(features, bias)
    return features + bias


def spreads_fast():
    """Return whether `spread` is there and the best way to double a map."""
    return keras.backend.backend() == "torch"


def spread(features, kernel, bias):
    """Convolve backwards, to maps of twice the size; PyTorch only.

    Args:
        features: Float tensor of shape `(batch, height, width, channels)`.
        kernel: Tensor `(4, 4, channels, filters)`: what a position paints,
            from the row above and the column before its own 2 x 2 on.
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


def copies_convolved_maps():
    """Return whether Keras' own convolutions copy maps, see `convolve`."""
    return keras.backend.backend() == "torch"


def project(features, kernel, bias=None, activation=lambda result: result):
    """Multiply the last axis by a matrix and add a bias, in one go.

    Keras multiplies maps as they are and adds the bias in a second pass.
    TensorFlow computes a bias, and what `gelu` does, within a product only
    where that is one of two matrices.

    Args:
        features: Float tensor of shape `(..., channels)`.
        kernel: Tensor or variable `(channels, units)`.
        bias: Tensor or variable `(units,)` to add, or None.
        activation: Function from what comes of it to a tensor of its shape.

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


def attend(query, key, value, bias):
    """Let queries gather values by how well their keys match.

    PyTorch has this in one kernel, which never holds all scores; where
    gradients are asked for that takes longer.

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

        # Its kernel knows one axis before the heads, and no other.
        if len(bias.shape) > 3:
            bias = bias.expand(*query.shape[:-1], key.shape[-2])
        flat = (tensor.flatten(0, -4) for tensor in (query, key, value))
        bias = ops.cast(bias, query.dtype)
        bias = bias.flatten(0, -4) if len(bias.shape) > 3 else bias[None]
        gathered = F.scaled_dot_product_attention(*flat, bias)
        return gathered.reshape(query.shape)
    scores = ops.matmul(
        query * query.shape[-1] ** -0.5, ops.swapaxes(key, -2, -1)
    )
    # In half precision, shares would not sum to one.
    shares = ops.softmax(ops.cast(scores, "float32") + bias, axis=-1)
    return ops.matmul(ops.cast(shares, value.dtype), value)


def gelu(features):
    """Multiply each number by the share of a normal distribution below it.

    Args:
        features: Float tensor.

    Returns:
        Tensor of the same shape and dtype.
    """
    if keras.backend.backend() != "tensorflow":
        return keras.activations.gelu(features, approximate=False)
    import tensorflow as tf

    # By these operations TensorFlow knows what to compute with a product.
    share = 0.5 * (1.0 + tf.math.erf(features * 0.5**0.5))
    return features * share


def surprise(labels, logits):
    """Measure the cross-entropy of each label, in few passes over logits.

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
        if logits.shape[-1] < _FEW:
            logits = logits.movedim(-1, 1)
            return F.cross_entropy(logits, labels, reduction="none")
        found = F.cross_entropy(
            logits.flatten(0, -2), labels.flatten(), reduction="none"
        )
        return found.reshape(labels.shape)
    highest = ops.max(logits, axis=-1, keepdims=True)
    lowered = logits - ops.stop_gradient(highest)
    true = ops.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    total = ops.sum(ops.exp(lowered), axis=-1)
    return ops.log(total) - ops.sum(lowered * true, axis=-1)


def normalize_batch(features, scale, shift, epsilon):
    """Normalize channels by their own mean and variance, in one kernel.

    Keras does it in some ten passes over the map and as many for gradients.

    Args:
        features: Float32 tensor of shape `(batch, rows, columns, channels)`.
        scale: Float32 tensor `(channels,)` to multiply the result by.
        shift: Float32 tensor `(channels,)` to add to that.
        epsilon: Float to add to variances.

    Returns:
        Tensor of the shape of `features`, and the mean and the variance of
        each channel, both `(channels,)`; or None where the backend is no
        faster than Keras.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        result, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=features, scale=scale, offset=shift, mean=[], variance=[],
            epsilon=epsilon, is_training=True,
        )  # fmt: skip
        count = tf.cast(tf.size(features) // tf.size(mean), "float32")
        return result, mean, variance * _biased(count)
    count = features.shape[0] * features.shape[1] * features.shape[2]
    if keras.backend.backend() == "torch" and count > 1:
        import torch

        mean, variance = torch.zeros_like(scale), torch.zeros_like(scale)
        result = torch.batch_norm(
            features.permute(0, 3, 1, 2), scale, shift, mean, variance,
            training=True, momentum=1.0, eps=epsilon, cudnn_enabled=True,
        )  # fmt: skip
        return result.permute(0, 2, 3, 1), mean, variance * _biased(count)
    return None


def _biased(count):
    """Return what makes a variance one that is divided by the count."""
    return (count - 1) / count
