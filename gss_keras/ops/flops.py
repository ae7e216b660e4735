"""Count the FLOPs of a model on any backend, without running it.

Each backend traces functions in its own way, so this module imports backends
by name, as `backend.py` does, and reads the trace.
"""

import math

import keras

from gss_keras.ops import private

# Prefixes of the types of TensorFlow's matrix products and convolutions.
_COUNTED = "Conv2D", "DepthwiseConv2d", "MatMul", "BatchMatMul", "Einsum"


def count_flops(function, shape):
    """Count the FLOPs of a function of a batch of photos.

    Counts matrix products and convolutions, with two FLOPs for each
    multiply-accumulate (MAC); everything else is a small fraction of a
    network's work. The function is traced, not run. Backends may differ by a
    percent or two: JAX resizes with matrix products, and on a CPU
    `layers/depthwise.py` replaces its depthwise convolutions by elementwise
    operations. The body of a loop counts once per iteration. Of the branches
    of a conditional, TensorFlow and JAX count the most expensive one.

    Args:
        function: Function of a float32 tensor.
        shape: Shape of that tensor, a tuple of ints.

    Returns:
        Float, the number of FLOPs.

    Raises:
        ValueError: If the trip count of a loop with FLOPs is only known at
            run time.

    Example:
        >>> layer = keras.layers.Dense(5)
        >>> layer.build((None, 4))
        >>> count_flops(layer, (3, 4))
        120.0
    """
    count = {
        "tensorflow": _tensorflow_flops,
        "jax": _jax_flops,
        "torch": _torch_flops,
    }[keras.backend.backend()]
    return float(count(function, shape))


def _torch_flops(function, shape):
    """Run the function on PyTorch's meta device under its FLOP counter."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    class Function(keras.Operation):
        def call(self, photos):
            return function(photos)

    # Keras infers output shapes on the meta device.
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        photos = keras.KerasTensor(shape, "float32")
        Function().compute_output_spec(photos)
    return counter.get_total_flops()


def _tensorflow_flops(function, shape):
    """Trace the function into a TensorFlow graph and count its operations."""
    import tensorflow as tf

    was_eager = tf.config.functions_run_eagerly()
    # Inline nested functions into the one graph that is counted: Keras wraps
    # grouped convolutions in one.
    tf.config.run_functions_eagerly(True)
    try:
        traced = tf.function(function).get_concrete_function(
            tf.TensorSpec(shape, tf.float32)
        )
    finally:
        tf.config.run_functions_eagerly(was_eager)
    return _graph_flops(traced.graph, {})


def _graph_flops(graph, static):
    """Sum the FLOPs of the operations that a graph's outputs depend on.

    Args:
        graph: TensorFlow graph of a function.
        static: Dict from the names of the graph's placeholders to their
            static scalar values, None where unknown.
    """
    total = 0
    for node in _ancestors(graph):
        if node.type in ("While", "StatelessWhile"):
            total += _loop_flops(node, static)
        elif node.type in ("If", "StatelessIf"):
            _, *arguments = node.inputs
            total += max(
                _graph_flops(branch, _static_inputs(branch, arguments, static))
                for branch in private.branch_graphs(node)
            )
        else:
            total += _node_flops(node)
    return total


def _ancestors(graph):
    """Return the set of operations that a graph's outputs depend on."""
    found, stack = set(), [tensor.op for tensor in graph.outputs]
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            stack += [tensor.op for tensor in node.inputs]
    return found


def _static_inputs(graph, arguments, static):
    """Map a subgraph's placeholders to the static values of its arguments."""
    return {
        placeholder.name: _static_value(argument, static)
        for placeholder, argument in zip(graph.inputs, arguments, strict=True)
    }


def _static_value(tensor, static):
    """Return the static value of a scalar tensor, or None if unknown."""
    import tensorflow as tf

    tensor = _skip_identities(tensor)
    if tensor.name in static:
        return static[tensor.name]
    value = tf.get_static_value(tensor)
    return None if value is None or value.ndim else value.item()


def _loop_flops(node, static):
    """Return the FLOPs of a while loop: its body's times its trip count."""
    condition, body = private.loop_graphs(node)
    once = _graph_flops(body, _static_inputs(body, node.inputs, static))
    if not once:
        return 0
    inputs = _static_inputs(condition, node.inputs, static)
    trip_count = _trip_count(condition, inputs, body)
    if trip_count is None:
        _raise_unknown_trip_count(node.name)
    return trip_count * once


def _trip_count(condition, static, body):
    """Return the trip count of a loop `while index < end: index += 1`.

    Returns:
        Integer, or None if the loop has another form or unknown bounds.
    """
    test = _skip_identities(condition.outputs[0]).op
    if test.type != "Less":
        return None
    index, limit = map(_skip_identities, test.inputs)
    start, end = (_static_value(tensor, static) for tensor in (index, limit))
    names = [placeholder.name for placeholder in condition.inputs]
    if None in (start, end) or index.name not in names:
        return None
    position = names.index(index.name)
    update = _skip_identities(body.outputs[position]).op
    if update.type != "AddV2":
        return None
    before, step = map(_skip_identities, update.inputs)
    is_index = before.name == body.inputs[position].name
    if not is_index or _static_value(step, {}) != 1:
        return None
    return max(0, end - start)


def _skip_identities(tensor):
    """Return the tensor at the start of a chain of identity operations."""
    while tensor.op.type == "Identity":
        (tensor,) = tensor.op.inputs
    return tensor


def _raise_unknown_trip_count(name):
    raise ValueError(
        "`function` must not have loops with matrix products or convolutions "
        "whose trip count is only known at run time. Count a single iteration "
        f"instead. Received: loop {name}"
    )


def _node_flops(node):
    """Return the FLOPs of one TensorFlow operation, 0 if not counted."""
    if not node.type.startswith(_COUNTED):
        return 0
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
        is_transposed = node.get_attr("adj_x" if is_batched else "transpose_a")
        terms = shapes[0][-2 if is_transposed else -1]
        return 2 * terms * math.prod(node.outputs[0].shape)
    if node.type == "Einsum":
        equation = node.get_attr("equation").decode()
        sizes = {}
        for axes, shape in zip(
            equation.split("->")[0].split(","), shapes, strict=True
        ):
            sizes |= dict(zip(axes, shape, strict=True))
        return 2 * math.prod(sizes.values())
    return 0


def _jax_flops(function, shape):
    """Trace the function into a jaxpr and count its equations."""
    import jax

    photos = jax.ShapeDtypeStruct(shape, "float32")
    return _jaxpr_flops(jax.make_jaxpr(function)(photos).jaxpr)


def _jaxpr_flops(jaxpr):
    """Sum the FLOPs of a jaxpr's equations and of those nested in them."""
    total = 0
    for equation in jaxpr.eqns:
        total += equation_flops(equation)
        nested = [_jaxpr_flops(body) for body in nested_jaxprs(equation)]
        name = equation.primitive.name
        if name == "while" and sum(nested):
            _raise_unknown_trip_count(name)
        if name == "cond":
            total += max(nested)
        else:
            trip_count = equation.params["length"] if name == "scan" else 1
            total += trip_count * sum(nested)
    return total


def equation_flops(equation):
    """Return the FLOPs of one equation of a jaxpr, without nested jaxprs.

    Args:
        equation: `JaxprEqn`.

    Returns:
        Number of FLOPs, two for each multiply-accumulate of a matrix product
        (`dot_general`) or convolution; 0 for any other primitive.
    """
    name, parameters = equation.primitive.name, equation.params
    if name not in ("dot_general", "conv_general_dilated"):
        return 0
    left, right = (variable.aval.shape for variable in equation.invars[:2])
    if name == "dot_general":
        (contracted, _), _ = parameters["dimension_numbers"]
        terms = math.prod(left[axis] for axis in contracted)
    else:
        axes = parameters["dimension_numbers"].rhs_spec
        terms = math.prod(right[axis] for axis in axes[1:])
        # Input dilation inserts zeros, which need not be multiplied.
        terms /= math.prod(parameters["lhs_dilation"])
    return 2 * terms * math.prod(equation.outvars[0].aval.shape)


def nested_jaxprs(equation):
    """Return the jaxprs in an equation's parameters.

    Calls have one, loops one or two, and conditionals one for each branch.

    Args:
        equation: `JaxprEqn`.

    Returns:
        List of `Jaxpr`.
    """
    values = [
        value
        for parameter in equation.params.values()
        for value in (
            parameter if isinstance(parameter, tuple) else (parameter,)
        )
    ]
    # A `ClosedJaxpr` wraps its `Jaxpr`.
    jaxprs = [getattr(value, "jaxpr", value) for value in values]
    return [jaxpr for jaxpr in jaxprs if hasattr(jaxpr, "eqns")]
