"""Read photos and masks, change them alike, feed them to `fit`."""

from gss_keras.data import streets
from gss_keras.data.camvid import CamVid
from gss_keras.data.color_jitter import ColorJitter
from gss_keras.data.pipeline import batches
from gss_keras.data.sources import Folders, PairedFiles, load_all
from gss_keras.data.transforms import Augmentation, Padding

__all__ = [
    "Augmentation",
    "CamVid",
    "ColorJitter",
    "Folders",
    "Padding",
    "PairedFiles",
    "batches",
    "load_all",
    "streets",
]
