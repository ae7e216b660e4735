"""Data sets, joint augmentation of photos and masks, batches for `fit`."""

import importlib

from gss_keras.data import catalog, mseg
from gss_keras.data.ade20k import ADE20K
from gss_keras.data.bad_files import SkipBadFiles, read_report
from gss_keras.data.camvid import CamVid, CamVid32
from gss_keras.data.catalog import load
from gss_keras.data.cityscapes import Cityscapes
from gss_keras.data.color_jitter import ColorJitter
from gss_keras.data.pipeline import batches
from gss_keras.data.resized import Resized
from gss_keras.data.sources import Folders, PairedFiles, load_all
from gss_keras.data.transforms import Augmentation, Padding

__all__ = [
    "ADE20K",
    "Augmentation",
    "CamVid",
    "CamVid32",
    "Cityscapes",
    "ColorJitter",
    "Folders",
    "Padding",
    "PairedFiles",
    "Resized",
    "SkipBadFiles",
    "batches",
    "catalog",
    "load",
    "load_all",
    "miniature",
    "mseg",
    "read_report",
    "streets",
]


def __getattr__(name):
    """Keep the old import paths of modules moved to `gss_keras.synthetic`."""
    if name in ("miniature", "streets", "label_maps"):
        return importlib.import_module(f"gss_keras.synthetic.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
