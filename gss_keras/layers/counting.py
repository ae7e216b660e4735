"""Count the products of a model on any backend, without computing them.

The only other file, beside `backend.py`, that asks backends by name: each
traces a function in its own way, and what it wrote down is read here.
"""

import math

import keras


def count_products(function, shape):
    """Count the products that a function of a batch of photos needs.

    Counted are matrix products and convolutions, a product with its addition
    as two FLOPs; all else is a small part of a network's work. Nothing is
    computed: backends are asked what they would do, and may differ by a
    percent or two, since JAX resizes with products and `layers/depthwise.py`
    has none on its CPU.

    Args:
        function: Function of a float32 tensor.
        shape: Its shape, a tuple of ints.

    Returns:
        Float, the number of FLOPs.

    Example:
        >>> layer = keras.layers.Dense(5)
        >>> layer.build((None, 4))
        >>> count_products(layer, (3, 4))
        120.0
    """
    count = {"tensorflow": _in_graph, "jax": _in_jaxpr, "torch": _on_meta}
    return float(count[keras.backend.backend()](function, shape))


def _on_meta(function, shape):
    """Let PyTorch go through the function with tensors without content."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    class Function(keras.Operation):
        def call(self, photos):
            return function(photos)

    # Keras finds the shape of a result so, and the counter looks on.
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        photos = keras.KerasTensor(shape, "float32")
        Function().compute_output_spec(photos)
    return counter.get_total_flops()


def _in_graph(function, shape):
    """Read the operations of TensorFlow's graph."""
    import tensorflow as tf

    was_eager = tf.config.functions_run_eagerly()
    # Functions in the function become part of the one graph that is read:
    # Keras has one for convolutions of groups.
    tf.config.run_functions_eagerly(True)
    try:
        traced = tf.function(function).get_concrete_function(
            tf.TensorSpec(shape, tf.float32)
        )
    finally:
        tf.config.run_functions_eagerly(was_eager)
    return sum(map(_flops_of_node, traced.graph.get_operations()))


def _flops_of_node(node):
    shapes = [tuple(tensor.shape) for tensor in node.inputs]
    if node.type in ("Conv2D", "DepthwiseConv2dNative"):
        kernel = shapes[1]
        terms = kernel[:3] if node.type == "Conv2D" else kernel[:2]
        return 2 * math.prod(terms) * math.prod(node.outputs[0].shape)
    if node.type == "Conv2DBackpropInput":
        *kernel, _ = shapes[1]
        return 2 * math.prod(kernel) * math.prod(shapes[2])
    if node.type.startswith(("MatMul", "BatchMatMul")):
        is_batched = node.type.startswith("Batch")
        turned = node.get_attr("adj_x" if is_batched else "transpose_a")
        terms = shapes[0][-2 if turned else -1]
        return 2 * terms * math.prod(node.outputs[0].shape)
    if node.type == "Einsum":
        letters = node.get_attr("equation").decode().split("->")[0].split(",")
        sizes = {}
        for names, shape in zip(letters, shapes, strict=True):
            sizes |= dict(zip(names, shape, strict=True))
        return 2 * math.prod(sizes.values())
    return 0


def _in_jaxpr(function, shape):
    """Read the equations that JAX writes down."""
    import jax

    photos = jax.ShapeDtypeStruct(shape, "float32")
    return _flops_of_jaxpr(jax.make_jaxpr(function)(photos).jaxpr)


def _flops_of_jaxpr(jaxpr):
    return sum(map(_flops_of_equation, jaxpr.eqns))


def _flops_of_equation(equation):
    name, parameters = equation.primitive.name, equation.params
    if name in ("dot_general", "conv_general_dilated"):
        left, right = (variable.aval.shape for variable in equation.invars[:2])
        if name == "dot_general":
            (contracted, _), _ = parameters["dimension_numbers"]
            terms = math.prod(left[axis] for axis in contracted)
        else:
            axes = parameters["dimension_numbers"].rhs_spec
            terms = math.prod(right[axis] for axis in axes[1:])
            # Zeros between the entries of a spread input are not multiplied.
            terms /= math.prod(parameters["lhs_dilation"])
        return 2 * terms * math.prod(equation.outvars[0].aval.shape)
    bodies = [
        getattr(body, "jaxpr", body)
        for value in parameters.values()
        for body in (value if isinstance(value, tuple) else (value,))
    ]
    rounds = parameters.get("length", 1) if name == "scan" else 1
    return rounds * sum(
        _flops_of_jaxpr(b) for b in bodies if hasattr(b, "eqns")
    )
