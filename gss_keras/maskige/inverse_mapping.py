"""Base class of the inverse mappings X^-1: maskige to class logits."""

import keras


class InverseMapping(keras.layers.Layer):
    """Map a maskige to class logits; the base class of every X^-1.

    Subclass it to add an inverse mapping: implement `call`, set
    `num_classes`, and declare in class attributes what the layer needs. Every
    model treats the built-in inverses and yours alike, by these attributes
    alone. A plain Keras layer works, too, with the defaults.

    Attributes:
        num_classes: Number of classes K.
        takes_colors: Whether `call` takes the argument `colors`, the float
            tensor `(num_classes, 3)` in [0, 1] that masks are painted with.
            They differ from the given palette once colors are learned.
        is_pointwise: Whether the logits of a pixel depend on that pixel
            alone. The maskige may then be processed in strips of rows, which
            keeps peak memory low where there are many classes.
        has_votes: Whether pixels of the maskige that are merged into one
            pixel of the mask each vote for their best class, instead of
            having their logits averaged. Right where the logits are distances
            to colors: an average of two colors may be nearest to a third.

    Call arguments:
        maskiges: Float tensor `(batch, height, width, 3)` in [0, 1].
        colors: Only if `takes_colors`.
        training: Optional, whether the layer is being trained.

    Returns:
        Logits `(batch, height, width, num_classes)`.

    Example:
        >>> class Brightness(InverseMapping):
        ...     num_classes = 2
        ...     is_pointwise = True
        ...
        ...     def call(self, maskiges):
        ...         light = keras.ops.mean(maskiges, axis=-1, keepdims=True)
        ...         return keras.ops.concatenate([1 - light, light], axis=-1)
        >>> tuple(Brightness()(keras.ops.zeros((1, 2, 3, 3))).shape)
        (1, 2, 3, 2)
    """

    num_classes = None
    takes_colors = False
    is_pointwise = False
    has_votes = False
