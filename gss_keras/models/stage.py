"""Base class of the trainable stages, each of which trains a part of itself."""

import contextlib

import keras

from gss_keras import distribution
from gss_keras.ops.private import NoDistributedBuild, skip_empty_weight_decay


class Predictor(NoDistributedBuild):
    """A model whose `predict` takes any number of samples on any devices."""

    def predict(self, x, batch_size=None, **kwargs):
        padded, _, batch_size = distribution.pad_to_devices(x, None, batch_size)
        results = super().predict(padded, batch_size=batch_size, **kwargs)
        if padded is x:
            return results
        return keras.tree.map_structure(lambda a: a[: len(x)], results)


class Stage(Predictor):
    """A Keras model that trains only one part of what it holds.

    The posterior holds a tokenizer, the prior a posterior, the segmenter a
    prior. All of it is saved and moved with its model, but `fit` updates only
    the part that the stage is there to learn. The stage that trains decides
    what is frozen, not flags on the shared parts, so evaluating a segmenter
    between two epochs does not freeze its prior.

    A subclass names the trained layers in `learned_layers()`, validates
    arrays in `check_data()`, and keeps its constructor's arguments for
    `get_config`: layers as attributes named in `parts`, all others in the dict
    `config`. `frozen_part` names the part that never changes, if any, and
    `is_adaptable` says whether `adapt(masks)` computes statistics before
    `fit`. Each `compute_loss` ends with `distribution.split_loss`, as Keras
    does for its own losses.
    """

    parts = ()
    frozen_part = None
    is_adaptable = False

    def learned_layers(self):
        """Return the layers whose weights `fit` updates."""
        raise NotImplementedError

    def check_data(self, x, y=None):
        """Raise a ValueError if arrays passed to `fit` are malformed."""

    def training_state(self):
        """Return the variables that training changes, RNG state included.

        Returns:
            List of variables, in an order that depends on the model's
            configuration alone: all but those of metrics and of the frozen
            part, except what is learned of it.
        """
        frozen = {id(v) for v in self.metrics_variables}
        if self.frozen_part:
            part = getattr(self, self.frozen_part)
            frozen |= {id(v) for v in part.variables}
        learned = [v for part in self.learned_layers() for v in part.variables]
        changing = [v for v in self.variables if id(v) not in frozen]
        return _unique([*learned, *changing])

    def fit(self, x=None, y=None, batch_size=None, **kwargs):
        self.check_data(x, y)
        self.build_optimizer()
        distribution.synchronize_devices(self)
        x, y, batch_size = distribution.pad_to_devices(x, y, batch_size)
        validation = kwargs.get("validation_data")
        if isinstance(validation, tuple) and len(validation) == 2:
            *validation, size = distribution.pad_to_devices(
                *validation, kwargs.get("validation_batch_size") or batch_size
            )
            kwargs |= {
                "validation_data": tuple(validation),
                "validation_batch_size": size,
            }
        return super().fit(x, y, batch_size=batch_size, **kwargs)

    def evaluate(
        self, x=None, y=None, batch_size=None, return_dict=False, **kwargs
    ):
        self.check_data(x, y)
        x, y, batch_size = distribution.pad_to_devices(x, y, batch_size)
        with distribution.shared_evaluation(x, self.metrics) as is_shared:
            results = super().evaluate(
                x, y, batch_size=batch_size, return_dict=True, **kwargs
            )
        if is_shared:
            results = self.get_metrics_result()
        # In the order of the metrics, which dicts that went through JAX lose.
        results = {
            name: float(results[name])
            for metric in self.metrics
            for name in getattr(metric, "result_names", [metric.name])
            if name in results
        }
        return results if return_dict else list(results.values())

    def get_config(self):
        parts = {
            part: keras.saving.serialize_keras_object(getattr(self, part))
            for part in self.parts
        }
        return {**parts, **self.config, "name": self.name}

    @classmethod
    def from_config(cls, config):
        # Models saved by earlier versions lack parts that were added later.
        parts = {
            part: keras.saving.deserialize_keras_object(config[part])
            for part in cls.parts
            if part in config
        }
        return cls(**{**config, **parts})

    def build_optimizer(self):
        """Create the optimizer's variables before the first step is traced.

        Otherwise TensorFlow creates them while it traces the step and then
        traces it a second time: 54 seconds instead of 27 until the first step
        of a small prior is done.
        """
        if not self.compiled:
            return
        if self.optimizer and not self.optimizer.built:
            strategy = getattr(self, "distribute_strategy", None)
            with strategy.scope() if strategy else contextlib.nullcontext():
                self.optimizer.build(self.trainable_variables)
        skip_empty_weight_decay(self.optimizer, self.trainable_variables)

    @property
    def trainable_variables(self):
        if not self.trainable:
            return []
        return _unique(
            variable
            for layer in self.learned_layers()
            for variable in layer.trainable_variables
        )

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


def _unique(variables):
    return list({id(variable): variable for variable in variables}.values())
