"""Convert a SavedModel to ONNX: tf2onnx, with what it gets wrong put right.

Run as `python -m gss_keras.export.onnx_converter` with tf2onnx's arguments.
"""

import numpy as np


class ExactFloorMod:
    """Keep the remainder of negative integers above zero.

    The converter's own rounds quotients towards zero, so that `-8 % 7`, which
    is how maps are padded to whole windows, would become -1 and not 6.
    """

    @classmethod
    def version_10(cls, graph, node, **kwargs):
        """Rewrite one operation; ONNX has had integer `Mod` since opset 10."""
        del kwargs
        if _is_integer(graph, node):
            _replace(graph, node, "Mod", node.input)
        else:
            quotient = graph.make_node("Div", node.input)
            floor = graph.make_node("Floor", quotient.output)
            product = graph.make_node("Mul", [floor.output[0], node.input[1]])
            _replace(graph, node, "Sub", [node.input[0], product.output[0]])


class ExactFloorDiv:
    """Round the quotient of negative integers down, not towards zero."""

    @classmethod
    def version_10(cls, graph, node, **kwargs):
        """Rewrite one operation: `(x - x % y) / y` leaves no remainder."""
        del kwargs
        x, y = node.input
        if _is_integer(graph, node):
            remainder = graph.make_node("Mod", [x, y])
            multiple = graph.make_node("Sub", [x, remainder.output[0]])
            _replace(graph, node, "Div", [multiple.output[0], y])
        else:
            quotient = graph.make_node("Div", [x, y])
            _replace(graph, node, "Floor", quotient.output)


class ComplementaryError:
    """Write `erfc(x)`, which ONNX does not know, as `1 - erf(x)`.

    TensorFlow computes the exact GELU with it.
    """

    @classmethod
    def version_9(cls, graph, node, **kwargs):
        """Rewrite one operation; ONNX has had `Erf` since opset 9."""
        del kwargs
        from tf2onnx import utils

        dtype = utils.map_onnx_to_numpy_type(node.output_dtypes[0])
        one = graph.make_const(utils.make_name("one"), np.ones((), dtype))
        erf = graph.make_node("Erf", node.input)
        _replace(graph, node, "Sub", [one.output[0], erf.output[0]])


def _is_integer(graph, node):
    from tf2onnx import utils

    dtype = utils.map_onnx_to_numpy_type(graph.get_dtype(node.input[0]))
    return np.issubdtype(dtype, np.integer)


def _replace(graph, node, operation, inputs):
    inputs = list(inputs)
    known = {
        "name": node.name,
        "outputs": node.output,
        "shapes": node.output_shapes,
        "dtypes": node.output_dtypes,
    }
    graph.remove_node(node.name)
    graph.make_node(operation, inputs, **known)


def main():
    """Convert what the command line names."""
    from tf2onnx import convert
    from tf2onnx.handler import tf_op

    tf_op(["FloorMod"])(ExactFloorMod)
    tf_op(["FloorDiv"])(ExactFloorDiv)
    tf_op(["Erfc"])(ComplementaryError)
    convert.main()


if __name__ == "__main__":
    main()
