"""What the three models have in common: each trains only a part of itself."""

import contextlib

import keras

from gss_keras import distribution


class _Predicting(keras.Model):
    """A model that predicts any number of photos on any number of devices."""

    def predict(self, x, batch_size=None, **kwargs):
        filled, _, batch_size = distribution.fill_up(x, None, batch_size)
        results = super().predict(filled, batch_size=batch_size, **kwargs)
        if filled is x:
            return results
        return keras.tree.map_structure(lambda a: a[: len(x)], results)


class Stage(_Predicting):
    """A Keras model that holds more than it trains.

    The posterior holds a tokenizer, the prior a posterior, the segmenter a
    prior: all of it is saved and moved with its model, but `fit` may touch
    only the part that the stage is there to learn. What stays frozen is
    decided by the stage that trains, not by flags on the shared parts, so
    that evaluating a segmenter in between does not freeze its prior.

    A subclass names its part in `learned_layers()`, refuses malformed arrays
    in `check_data()`, and keeps its constructor's arguments for `get_config`:
    layers as attributes named in `parts`, all others in the dict `config`.
    `frozen_part` names the one of them that stays as it is, if any, and
    `is_adaptable` says whether there is something for `adapt(masks)` to count.
    """

    parts = ()
    frozen_part = None
    is_adaptable = False

    def learned_layers(self):
        """Return the layers whose weights `fit` may change."""
        raise NotImplementedError

    def check_data(self, x, y=None):
        """Raise a ValueError if arrays handed to `fit` are malformed."""

    def training_state(self):
        """List the variables that a training changes, random state included.

        Returns:
            List of variables, in an order that depends on the model's
            configuration alone: all but those of the frozen part, except what
            is learned of it, and those of metrics.
        """
        frozen = {id(v) for v in self.metrics_variables}
        if self.frozen_part:
            part = getattr(self, self.frozen_part)
            frozen |= {id(v) for v in part.variables}
        learned = [v for part in self.learned_layers() for v in part.variables]
        changing = [v for v in self.variables if id(v) not in frozen]
        return _distinct([*learned, *changing])

    def fit(self, x=None, y=None, batch_size=None, **kwargs):
        self.check_data(x, y)
        self.build_optimizer()
        distribution.start_together(self)
        x, y, batch_size = distribution.fill_up(x, y, batch_size)
        held_out = kwargs.get("validation_data")
        if isinstance(held_out, tuple) and len(held_out) == 2:
            *held_out, size = distribution.fill_up(
                *held_out, kwargs.get("validation_batch_size") or batch_size
            )
            kwargs |= {
                "validation_data": tuple(held_out),
                "validation_batch_size": size,
            }
        return super().fit(x, y, batch_size=batch_size, **kwargs)

    def evaluate(self, x=None, y=None, batch_size=None, **kwargs):
        self.check_data(x, y)
        x, y, batch_size = distribution.fill_up(x, y, batch_size)
        with distribution.shared_evaluation(x, self.metrics) as is_shared:
            results = super().evaluate(x, y, batch_size=batch_size, **kwargs)
        if not is_shared:
            return results
        pooled = {k: float(v) for k, v in self.get_metrics_result().items()}
        if isinstance(results, dict):
            return pooled
        return self._flatten_metrics_in_order(pooled)

    def _maybe_symbolic_build(self, *args, **kwargs):
        """Skip what a stage needs not, since it is built from the start.

        Keras would average the shares that TensorFlow's replicas get of the
        first batch, and fails where they differ in size.
        """

    def _compute_loss(self, *args, **kwargs):
        # Keras does this for its own losses only.
        return distribution.split_loss(super()._compute_loss(*args, **kwargs))

    def get_config(self):
        parts = {
            part: keras.saving.serialize_keras_object(getattr(self, part))
            for part in self.parts
        }
        return {**parts, **self.config, "name": self.name}

    @classmethod
    def from_config(cls, config):
        # A part that came later is absent where a model was saved before.
        parts = {
            part: keras.saving.deserialize_keras_object(config[part])
            for part in cls.parts
            if part in config
        }
        return cls(**{**config, **parts})

    def build_optimizer(self):
        """Make the optimizer's variables before the first step is traced.

        Left to itself, TensorFlow makes them while it traces the step and
        then traces it once more: 54 seconds instead of 27 until the first
        step of a small prior is done.
        """
        if self.compiled and self.optimizer and not self.optimizer.built:
            strategy = getattr(self, "distribute_strategy", None)
            with strategy.scope() if strategy else contextlib.nullcontext():
                self.optimizer.build(self.trainable_variables)
        self._stop_needless_decay()

    def _stop_needless_decay(self):
        """Turn weight decay off where every learned variable is exempt.

        Keras' optimizers for PyTorch fail on an empty list of variables to
        decay, which is what learned colors alone give.
        """
        if not self.compiled or not getattr(self.optimizer, "weight_decay", 0):
            return
        decays = map(self.optimizer._use_weight_decay, self.trainable_variables)
        if not any(decays):
            # Its `weight_decay` stays as it is, to be saved and loaded.
            self.optimizer._apply_weight_decay = lambda _: None

    @property
    def trainable_variables(self):
        if not self.trainable:
            return []
        learned = _distinct(
            variable
            for layer in self.learned_layers()
            for variable in layer.trainable_variables
        )
        return learned

    @property
    def non_trainable_variables(self):
        learned = {id(variable) for variable in self.trainable_variables}
        return [v for v in self.variables if id(v) not in learned]

    @property
    def trainable_weights(self):
        return self.trainable_variables

    @property
    def non_trainable_weights(self):
        learned = {id(weight) for weight in self.trainable_weights}
        return [w for w in self.weights if id(w) not in learned]


def _distinct(variables):
    return list({id(variable): variable for variable in variables}.values())


class Answer(_Predicting):
    """Give one answer of a model through Keras' `predict`."""

    def __init__(self, model, answer):
        super().__init__(name="answer")
        self.model = model
        self.answer = answer
        self.built = True

    def call(self, photos, training=None):
        # Not used, but Keras hands `training=False` on from here to all inner
        # layers. Left open, its preprocessing layers, as KerasHub's heads
        # have, turn whatever comes after them to training.
        del training
        return self.answer(photos)
