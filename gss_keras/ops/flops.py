"""Count the products of a model on any backend, without computing them.

Backends are asked by name here as in `backend.py`: each traces a function in
its own way, and what it wrote down is read.
"""

import math

import keras

# How the types of TensorFlow's products begin.
_PRODUCTS = "Conv2D", "DepthwiseConv2d", "MatMul", "BatchMatMul", "Einsum"


def count_products(function, shape):
    """Count the products that a function of a batch of photos needs.

    Counted are matrix products and convolutions, a product with its addition
    as two FLOPs; all else is a small part of a network's work. Nothing is
    computed: backends are asked what they would do, and may differ by a
    percent or two, since JAX resizes with products and `layers/depthwise.py`
    has none on its CPU. A loop counts as often as it goes round; of two
    branches, TensorFlow's and JAX's costlier one counts.

    Args:
        function: Function of a float32 tensor.
        shape: Its shape, a tuple of ints.

    Returns:
        Float, the number of FLOPs.

    Raises:
        ValueError: If it depends on numbers how often a loop with products
            goes round.

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
    return _flops_of_graph(traced.graph, {})


def _flops_of_graph(graph, known):
    """Add up the operations that a graph's outputs depend on.

    Args:
        graph: TensorFlow graph of a function.
        known: Dict of the graph's placeholders with a known number, by name.
    """
    total = 0
    for node in _needed(graph):
        if node.type in ("While", "StatelessWhile"):
            total += _flops_of_loop(node, known)
        elif node.type in ("If", "StatelessIf"):
            _, *arguments = node.inputs
            total += max(
                _flops_of_called(graph, arguments, known)
                for graph in (node._true_graph, node._false_graph)
            )
        else:
            total += _flops_of_node(node)
    return total


def _needed(graph):
    """Return the operations without which a graph has no outputs."""
    needed, waiting = set(), [tensor.op for tensor in graph.outputs]
    while waiting:
        node = waiting.pop()
        if node not in needed:
            needed.add(node)
            waiting += [tensor.op for tensor in node.inputs]
    return needed


def _flops_of_called(graph, arguments, known):
    """Add up what a node calls with its inputs."""
    return _flops_of_graph(graph, _numbers(graph, arguments, known))


def _numbers(graph, arguments, known):
    """Return the known numbers among what a graph is called with, by name."""
    return {
        placeholder.name: _number(argument, known)
        for placeholder, argument in zip(graph.inputs, arguments, strict=True)
    }


def _number(tensor, known):
    """Return the number that a tensor holds, or None if only a run tells."""
    import tensorflow as tf

    tensor = _origin(tensor)
    if tensor.name in known:
        return known[tensor.name]
    value = tf.get_static_value(tensor)
    return None if value is None or value.ndim else value.item()


def _flops_of_loop(node, known):
    once = _flops_of_called(node._body_graph, node.inputs, known)
    if not once:
        return 0
    numbers = _numbers(node._cond_graph, node.inputs, known)
    turns = _turns(node._cond_graph, numbers, node._body_graph)
    if turns is None:
        _refuse_loop(node.name)
    return turns * once


def _turns(condition, numbers, body):
    """Return how often `index < count` holds where index grows by one.

    Returns:
        Integer, or None if this is not how the loop ends, or not known.
    """
    test = _origin(condition.outputs[0]).op
    if test.type != "Less":
        return None
    index, count = map(_origin, test.inputs)
    start, end = (_number(tensor, numbers) for tensor in (index, count))
    names = [placeholder.name for placeholder in condition.inputs]
    if None in (start, end) or index.name not in names:
        return None
    place = names.index(index.name)
    following = _origin(body.outputs[place]).op
    if following.type != "AddV2":
        return None
    before, step = map(_origin, following.inputs)
    if before.name != body.inputs[place].name or _number(step, {}) != 1:
        return None
    return max(0, end - start)


def _origin(tensor):
    """Return the tensor that was handed on."""
    while tensor.op.type == "Identity":
        (tensor,) = tensor.op.inputs
    return tensor


def _refuse_loop(name):
    raise ValueError(
        "`function` must not have loops with products that go round as often "
        f"as a run tells. Received: the loop {name}. Count what it does in "
        "one turn instead"
    )


def _flops_of_node(node):
    if not node.type.startswith(_PRODUCTS):
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
    flops = [_flops_of_jaxpr(body) for body in bodies if hasattr(body, "eqns")]
    if name == "while" and sum(flops):
        _refuse_loop(name)
    if name == "cond":
        return max(flops)
    return sum(flops) * (parameters["length"] if name == "scan" else 1)
