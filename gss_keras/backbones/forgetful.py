"""Runs the layers of a functional model without keeping what is done with."""

import collections

import keras


class Forgetful(keras.Model):
    """A functional model that forgets each map once all layers have read it.

    Keras keeps every map until the last one is there. Where nothing is
    compiled, that is most of the memory that a photo takes.
    """

    def _run_through_graph(
        self, inputs, operation_fn=lambda operation: operation, call_fn=None
    ):
        if call_fn is not None:
            return super()._run_through_graph(inputs, operation_fn, call_fn)
        maps = dict(
            zip(map(id, self.inputs), keras.tree.flatten(inputs), strict=True)
        )
        nodes = [
            node
            for depth in sorted(self._nodes_by_depth, reverse=True)
            for node in self._nodes_by_depth[depth]
            if not node.is_input
        ]
        readers = collections.Counter(map(id, self.outputs))
        for node in nodes:
            readers.update(map(id, node.input_tensors))
        for node in nodes:
            arguments, named = node.arguments.fill_in(maps)
            results = operation_fn(node.operation)(*arguments, **named)
            del arguments, named
            results = keras.tree.flatten(results)
            maps |= dict(zip(map(id, node.outputs), results, strict=True))
            del results
            for tensor in node.input_tensors:
                readers[id(tensor)] -= 1
                if not readers[id(tensor)]:
                    del maps[id(tensor)]
        found = [maps[id(tensor)] for tensor in self.outputs]
        return keras.tree.pack_sequence_as(self._outputs_struct, found)
