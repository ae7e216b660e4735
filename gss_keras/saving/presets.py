"""Save a model as a plain folder and load it back, on any backend."""

import contextlib
import json
import os
import pathlib
from importlib import metadata

import keras

from gss_keras.saving.named_weights import arranged
from gss_keras.saving.precision import (
    check_precision,
    precision,
    without_types,
)
from gss_keras.saving.stored_weights import STORED, expanded, shrink
from gss_keras.saving.whole_folder import whole_folder

# Since 2, backbones and heads are no longer functional models, so weights have
# other paths; see `named_weights`.
_FORMAT, _READABLE = 2, (1, 2)
_CONFIG, _WEIGHTS, _CARD = "config.json", "model.weights.h5", "README.md"
_BUNDLED = pathlib.Path(__file__).parents[1] / "assets"
_HOME = "GSS_KERAS_HOME"


class PresetMixin:
    """Add `save_to_preset` and `from_preset` to a Keras model.

    A preset is a folder of three files: `config.json` is the model's config,
    `model.weights.h5` has all weights, `README.md` is the model card. None of
    them depends on the backend that wrote it.
    """

    def save_to_preset(self, folder, card=None, dtype=None):
        """Write the model into a folder, whole or not at all.

        Args:
            folder: Where to write. An existing preset there is replaced; any
                other folder that is not empty is refused.
            card: Text of the model card in Markdown. By default one is
                written from the model's class and number of parameters.
            dtype: "float16" to store kernels in half the space, at a relative
                error of up to 0.0005, or "int8" to store them in a quarter,
                at an error of up to 0.004 of the largest weight of the same
                output channel. Vectors keep their type, and what is loaded
                is computed in float32 as ever. By default all weights are
                stored as they are.

        Raises:
            ValueError: If `folder` holds something else than a preset or
                there is no such way to store weights.
        """
        if dtype not in (None, *STORED):
            raise ValueError(
                f"`dtype` must be None (as they are) or one of {STORED}. "
                f"Received: dtype={dtype!r}"
            )
        folder = pathlib.Path(folder).expanduser().absolute()
        check_folder(folder)
        with whole_folder(folder) as partial:
            (partial / _CONFIG).write_text(_config_text(self))
            self.save_weights(partial / _WEIGHTS)
            if dtype:
                shrink(partial / _WEIGHTS, dtype)
            (partial / _CARD).write_text(card or _default_card(self))

    @classmethod
    def from_preset(cls, preset, load_weights=True, dtype=None):
        """Build a model from a folder and load its weights.

        Args:
            preset: Path of a folder written by `save_to_preset`, or the name
                of a bundled preset (see `gss_keras.presets.bundled`) or of
                one in `gss_keras.presets.home()`, such as "dalle".
            load_weights: False for random weights: then also the name of a
                published model, see `gss_keras.presets.published`.
            dtype: Precision to compute in, whatever the preset was saved in:
                "bfloat16" or "float16" for fast GPUs and half the memory;
                "mixed_bfloat16" or "mixed_float16" to train on, with float32
                weights; "float32". By default that of Keras' global policy.

        Returns:
            A model of this class.

        Raises:
            ValueError: If there is no such preset, a file of it is missing
                or damaged, it holds a model of another class, or there is no
                such precision.
        """
        check_precision(dtype)
        folder = find(preset, load_weights)
        record = _read_config(folder)
        try:
            model = _build(record["model"], dtype)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise ValueError(
                f"{folder / _CONFIG} does not describe a model that can be "
                f"built here: {error}. Import the package that its classes "
                "come from first, or save the preset anew. "
                f"Received: preset={str(preset)!r}"
            ) from error
        if not isinstance(model, cls):
            raise ValueError(
                f"`preset` must hold a {cls.__name__}. Load it with "
                f"`{type(model).__name__}.from_preset` instead. "
                f"Received: preset={str(preset)!r}"
            )
        if load_weights:
            _load_weights(model, folder / _WEIGHTS, record["format"])
        return model

    def load_weights(self, filepath, skip_mismatch=False, **kwargs):
        """Load weights from a file, also from one of an earlier version.

        Args:
            filepath: Path of the file, as for `keras.Model.load_weights`.
            skip_mismatch: Whether to skip layers whose weights do not fit.
            **kwargs: Passed to `keras.Model.load_weights`.

        Raises:
            ValueError: If weights are missing or have other shapes.
        """
        try:
            super().load_weights(filepath, skip_mismatch, **kwargs)
        except ValueError as error:
            path = pathlib.Path(filepath)
            if skip_mismatch or path.suffix != ".h5" or not path.is_file():
                raise
            with contextlib.ExitStack() as stack:
                try:
                    fitting = stack.enter_context(arranged(self, path))
                except ValueError as mismatch:
                    raise error from mismatch
                super().load_weights(fitting, **kwargs)


def bundled():
    """Return the names of the presets that come with the package, sorted."""
    return sorted(path.parent.name for path in _BUNDLED.glob(f"*/{_WEIGHTS}"))


def published():
    """Return the names of published models whose weights are elsewhere.

    They can be built with `from_preset(name, load_weights=False)`, and load
    by name once their weights were converted into a preset in `home()`.

    Returns:
        List of strings, sorted.
    """
    configured = {path.parent.name for path in _BUNDLED.glob(f"*/{_CONFIG}")}
    return sorted(configured - set(bundled()))


def write_config(model, folder, card, source):
    """Write a published model's configuration and card, without weights.

    Args:
        model: The model.
        folder: Where to write.
        card: Text of the model card in Markdown.
        source: How to get the weights: a command.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _CONFIG).write_text(_config_text(model, source))
    (folder / _CARD).write_text(card)


def home():
    """Return the folder in which converted presets are found by name.

    Set by the environment variable `GSS_KERAS_HOME`; by default
    `~/.cache/gss_keras`.

    Returns:
        A `pathlib.Path`; the folder need not exist.
    """
    folder = os.environ.get(_HOME) or pathlib.Path("~", ".cache", "gss_keras")
    return pathlib.Path(folder).expanduser().absolute()


def find(preset, load_weights=True):
    """Return the folder of a preset.

    Args:
        preset: As for `from_preset`.
        load_weights: False where its configuration and card will do.

    Returns:
        A `pathlib.Path`. Its `README.md` is the card.

    Raises:
        ValueError: If there is no such preset.

    Example:
        >>> sorted(path.name for path in find("camvid").iterdir())
        ['README.md', 'config.json', 'model.weights.h5']
    """
    folder, name = pathlib.Path(preset).expanduser(), str(preset)
    if folder.is_dir():
        return folder
    if name in bundled():
        return _BUNDLED / name
    if folder.parts == (folder.name,) and (home() / folder).is_dir():
        return home() / folder
    if name not in published():
        raise ValueError(
            "`preset` must be a folder written by `save_to_preset`, one of "
            f"the bundled presets {bundled()} or one of the published models "
            f"{published()}. Received: preset={name!r}"
        )
    if not load_weights:
        return _BUNDLED / name
    raise ValueError(
        f"The weights of {name!r} are not bundled, for their license and "
        f"size. Write them to {home() / folder} (the environment variable "
        f"`{_HOME}` moves that folder) with: "
        f"{_read_config(_BUNDLED / name)['source']} . Or build the model with "
        f"`load_weights=False`. Received: preset={name!r}"
    )


def _read_config(folder):
    path = folder / _CONFIG
    if not path.is_file():
        raise ValueError(
            f"A preset folder must contain `{_CONFIG}`, `{_WEIGHTS}` and "
            f"`{_CARD}`. Received: {folder} without `{_CONFIG}`"
        )
    try:
        record = json.loads(path.read_text())
        version = record["format"]
        record["model"]["class_name"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} must be the JSON that `save_to_preset` writes; it is "
            f"damaged or something else. Received: {error!r}"
        ) from error
    if version not in _READABLE:
        raise ValueError(
            f"{path} must have one of the formats {_READABLE}, which this "
            "version of gss_keras reads. Install a newer gss_keras, or save "
            f"the preset again. Received: format={version!r}"
        )
    return record


def _build(config, dtype):
    if dtype is None:
        return keras.saving.deserialize_keras_object(config)
    with precision(dtype):
        return keras.saving.deserialize_keras_object(without_types(config))


def _load_weights(model, path, version):
    if not path.is_file():
        raise ValueError(
            f"A preset folder must contain `{_CONFIG}`, `{_WEIGHTS}` and "
            f"`{_CARD}`. Received: {path.parent} without `{_WEIGHTS}`"
        )
    try:
        with expanded(path) as whole:
            if version == _FORMAT:
                model.load_weights(whole)
                return
            with arranged(model, whole) as fitting:
                model.load_weights(fitting)
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{path} must hold the weights that {_CONFIG} beside it "
            "describes; it is damaged or belongs to another model. Save or "
            f"download the preset anew. Received: {error}"
        ) from error


def _config_text(model, source=None):
    record = {
        "format": _FORMAT,
        "keras_version": metadata.version("keras"),
        **({"source": source} if source else {}),
        "model": _without_training(keras.saving.serialize_keras_object(model)),
    }
    return json.dumps(record, indent=1) + "\n"


def _without_training(config):
    """Leave out optimizers: a preset is a model, however it was trained."""
    if isinstance(config, dict):
        return {
            key: _without_training(value)
            for key, value in config.items()
            if key != "compile_config"
        }
    if isinstance(config, list | tuple):
        return [_without_training(value) for value in config]
    return config


def _default_card(model):
    return (
        f"# {type(model).__name__}\n\n"
        f"{model.count_params():,} parameters. Load it with\n\n"
        "```python\n"
        "import gss_keras\n\n"
        f"model = gss_keras.{type(model).__name__}.from_preset(folder)\n"
        "```\n"
    )


def check_folder(folder):
    """Check that a preset may be written into a folder.

    Args:
        folder: Path of the folder.

    Raises:
        ValueError: If it holds something else than a preset.
    """
    folder = pathlib.Path(folder).expanduser()
    if not folder.exists():
        return
    is_preset = (folder / _CONFIG).is_file()
    if not folder.is_dir() or (any(folder.iterdir()) and not is_preset):
        raise ValueError(
            "`folder` must be new, empty or an earlier preset, so that "
            "nothing of yours is overwritten. Choose another one. "
            f"Received: folder={str(folder)!r}"
        )
