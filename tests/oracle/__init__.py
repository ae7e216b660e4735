"""Reference implementation of the official GSS models in PyTorch.

A test oracle for the Keras models and for the conversion of released weights,
independent of both: backbones and Swin blocks are those of the PyPI package
`mmsegmentation`, and the tokenizer's encoder and decoder those of the PyPI
package `DALL-E`. Only the heads that connect them are implemented here. It
needs a separate environment, without Keras:

    pip install torch==2.13.0
    pip install mmsegmentation==1.2.2 mmcv-lite==2.1.0 mmengine==0.10.7
    pip install ftfy regex attrs requests && pip install --no-deps DALL-E==0.1

Commands, to be run from the repository's root:

    python -m tests.oracle check FOLDER
    python -m tests.oracle golden FOLDER --seed 1 --count 24
    python -m tests.oracle checkpoint NAME PATH --seed 1
    python -m tests.oracle tokenizer FOLDER --seed 1
    python -m tests.oracle parameters
"""

import sys
import types

from torch import nn


class _StubOperators(types.ModuleType):
    """Stub of MMCV's compiled operators, which no model here uses."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (nn.Module,), {})


# Before any module of this package imports `mmseg`, which imports them.
sys.modules.setdefault("mmcv.ops", _StubOperators("mmcv.ops"))
