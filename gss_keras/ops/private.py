"""The only module that uses private APIs of Keras and of the backends.

Each entry states its purpose, the versions it was tested with, and its
fallback if the private API is missing. `tests/ops/test_private.py` has a test
for each, which fails first when Keras changes.
"""

import ctypes
import functools
import sys

import keras


class NoDistributedBuild(keras.Model):
    """Keep Keras from building a model from a distributed batch.

    Purpose: with a `tf.distribute` strategy, Keras' `fit` averages the first
    batch over the replicas to build the model and its losses, and fails where
    the replicas get batches of different sizes. Models of this package are
    built by their constructors and need no such batch.

    Tested with: Keras 3.15. Fallback: nothing changes if Keras no longer calls
    the overridden method.
    """

    def _maybe_symbolic_build(self, *args, **kwargs):
        pass


def flatten_layers(model):
    """Return all layers of a model, nested ones included.

    Purpose: the public `Model.layers` stops at the first level.

    Tested with: Keras 3.15. Fallback: the first level.

    Args:
        model: A `keras.Layer` or `keras.Model`.

    Returns:
        List of layers, the model itself first.
    """
    if not hasattr(model, "_flatten_layers"):
        return [model, *getattr(model, "layers", [])]
    return list(model._flatten_layers())


def skip_empty_weight_decay(optimizer, variables):
    """Disable weight decay if no variable is subject to it.

    Purpose: Keras' PyTorch optimizers fail on an empty list of variables to
    decay, for example when only colors are trained. The attribute
    `weight_decay` is left unchanged, so that the optimizer's config is, too.

    Tested with: Keras 3.15. Fallback: nothing is changed.

    Args:
        optimizer: A `keras.optimizers.Optimizer`.
        variables: List of the variables that the optimizer updates.
    """
    decays = getattr(optimizer, "_use_weight_decay", None)
    if decays is None or not getattr(optimizer, "weight_decay", None):
        return
    if not any(map(decays, variables)):
        optimizer._apply_weight_decay = lambda _: None


def replace_moments(layer, moments):
    """Replace the computation of batch statistics in a batch normalization.

    Purpose: synchronize batch statistics over replicas or processes in any
    model, including KerasHub's. Keras' `synchronized=True` supports only
    TensorFlow.

    Tested with: Keras 3.15. Fallback: none. Without synchronized statistics,
    training on several devices would silently give other results, so an
    `AttributeError` is raised.

    Args:
        layer: A `keras.layers.BatchNormalization`.
        moments: Function of the layer's original function, the inputs and the
            mask. Returns mean and variance, float tensors `(channels,)`.
    """
    own = type(layer)._moments
    layer._moments = functools.partial(moments, functools.partial(own, layer))


def replace_apply(optimizer, transform):
    """Make an optimizer transform gradients before it applies them.

    Purpose: all-reduce gradients over PyTorch processes before clipping,
    accumulation and loss scaling, in any optimizer, and without a wrapper
    that would be saved with the model.

    Tested with: Keras 3.15, whose trainers call `apply`. Fallback: none, see
    `replace_moments`.

    Args:
        optimizer: A `keras.optimizers.Optimizer`, changed in place. A second
            call has no effect.
        transform: Function from a list of gradients to a list of gradients.
    """
    if "apply" in vars(optimizer):
        return
    apply = optimizer.apply

    def apply_transformed(grads, trainable_variables=None):
        return apply(transform(grads), trainable_variables)

    optimizer.apply = apply_transformed


@functools.cache
def keep_freed_memory():
    """Let glibc's allocator keep freed memory for the next training step.

    Purpose: when TensorFlow first reads batches from Python, it makes glibc
    return every freed block above 128 kB to the system at once, and each step
    requests it again, page by page: on two CPU cores this doubled the time of
    a step. Call this after the first batch was requested, to undo that.

    Tested with: TensorFlow 2.21, glibc 2.36. Fallback: nothing happens without
    TensorFlow or glibc.

    Returns:
        Whether the allocator was configured.
    """
    if keras.backend.backend() != "tensorflow":
        return False
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not hasattr(library, "mallopt"):
        return False
    # From glibc's malloc.h: the number of blocks mapped one by one, and how
    # much free memory at the end of the heap is kept.
    max_mapped, trim_threshold = -4, -1
    settings = {max_mapped: 0, trim_threshold: 2**31 - 1}
    return all(library.mallopt(*setting) for setting in settings.items())


def branch_graphs(node):
    """Return the graphs of the two branches of a TensorFlow conditional.

    Purpose: count the FLOPs of `If` and `StatelessIf`, whose public
    attributes only name functions of the graph's library.

    Tested with: TensorFlow 2.21. Fallback: none.

    Args:
        node: `tf.Operation` of type `If` or `StatelessIf`, recorded by
            `tf.function`.

    Returns:
        A pair of `FuncGraph`, the true and the false branch.
    """
    return node._true_graph, node._false_graph


def loop_graphs(node):
    """Return the graphs of the condition and the body of a TensorFlow loop.

    Purpose: count the FLOPs of `While` and `StatelessWhile`, whose public
    attributes only name functions of the graph's library.

    Tested with: TensorFlow 2.21. Fallback: none.

    Args:
        node: `tf.Operation` of type `While` or `StatelessWhile`, recorded by
            `tf.function`.

    Returns:
        A pair of `FuncGraph`, the condition and the body.
    """
    return node._cond_graph, node._body_graph
