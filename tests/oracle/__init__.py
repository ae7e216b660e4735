"""The official GSS models in PyTorch, mostly with others' modules.

An oracle for the Keras models and for the conversion of released weights
that nobody has to take our word for: backbones and Swin blocks are those of
the PyPI package `mmsegmentation`, the tokenizer's encoder and decoder those
of the PyPI package `DALL-E`. Only the heads that join them are written here.
It needs an environment of its own, without Keras:

    pip install torch==2.13.0
    pip install mmsegmentation==1.2.2 mmcv-lite==2.1.0 mmengine==0.10.7
    pip install ftfy regex attrs requests && pip install --no-deps DALL-E==0.1

Commands, each a line, from the repository's root:

    python -m tests.oracle check FOLDER
    python -m tests.oracle golden FOLDER --seed 1 --count 24
    python -m tests.oracle checkpoint NAME PATH --seed 1
    python -m tests.oracle tokenizer FOLDER --seed 1
    python -m tests.oracle parameters
"""

import sys
import types

from torch import nn


class _AbsentOperators(types.ModuleType):
    """Stands in for the compiled operators, which no model here uses."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (nn.Module,), {})


# Before any file of this package imports `mmseg`, which asks for them.
sys.modules.setdefault("mmcv.ops", _AbsentOperators("mmcv.ops"))
