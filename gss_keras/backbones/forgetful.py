"""Runs the layers of a functional model without keeping what is done with."""

import collections

import keras

from gss_keras.layers.convolution import Conv2D
from gss_keras.layers.depthwise import DepthwiseConv2D
from gss_keras.layers.normalization import BatchNormalization


class Forgetful(keras.Model):
    """A functional model that forgets each map once all layers have read it.

    Keras keeps every map until the last one is there. Where nothing is
    compiled, that is most of the memory that a photo takes. A batch norm that
    alone reads a convolution's map is computed within the convolution, see
    `layers.normalization.normalize_within`.
    """

    def _run_through_graph(
        self, inputs, operation_fn=lambda operation: operation, call_fn=None
    ):
        flat = keras.tree.flatten(inputs)
        is_symbolic = any(isinstance(x, keras.KerasTensor) for x in flat)
        if call_fn is not None or is_symbolic:
            return super()._run_through_graph(inputs, operation_fn, call_fn)
        maps = dict(zip(map(id, self.inputs), flat, strict=True))
        nodes = [
            node
            for depth in sorted(self._nodes_by_depth, reverse=True)
            for node in self._nodes_by_depth[depth]
            if not node.is_input
        ]
        readers = collections.Counter(map(id, self.outputs))
        for node in nodes:
            readers.update(map(id, node.input_tensors))
        norms = _norms_within(nodes, readers)
        done_within = set(norms.values())
        for node in nodes:
            if node in done_within:
                continue
            arguments, named = node.arguments.fill_in(maps)
            if node in norms:
                named["norm"] = norms[node].operation
            results = operation_fn(node.operation)(*arguments, **named)
            del arguments, named
            results = keras.tree.flatten(results)
            outputs = norms.get(node, node).outputs
            maps |= dict(zip(map(id, outputs), results, strict=True))
            del results
            for tensor in node.input_tensors:
                readers[id(tensor)] -= 1
                if not readers[id(tensor)]:
                    del maps[id(tensor)]
        found = [maps[id(tensor)] for tensor in self.outputs]
        return keras.tree.pack_sequence_as(self._outputs_struct, found)


def _norms_within(nodes, readers):
    """Return a dict from convolutions' nodes to those of their batch norms."""
    convolutions = {
        id(node.outputs[0]): node
        for node in nodes
        if isinstance(node.operation, Conv2D | DepthwiseConv2D)
        and node.operation.data_format == "channels_last"
        and node.operation.activation is keras.activations.linear
        and not node.operation.use_bias
        and readers[id(node.outputs[0])] == 1
    }
    return {
        convolutions[id(node.input_tensors[0])]: node
        for node in nodes
        if isinstance(node.operation, BatchNormalization)
        and node.operation.axis in (-1, 3)
        and id(node.input_tensors[0]) in convolutions
    }
