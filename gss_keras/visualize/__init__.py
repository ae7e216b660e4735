"""Visualization: mask overlays, image grids and charts of scores.

All functions return images, uint8 arrays `(height, width, 3)`, which `save`
writes to files. Recipes, notebooks and reports share them. Images of photos
and masks require Pillow, charts Matplotlib; both are in the `data` extra.
"""

from gss_keras.visualize.charts import confusion_matrix, iou_bars
from gss_keras.visualize.curves import training_curves
from gss_keras.visualize.legends import legend, palette_chart, stack
from gss_keras.visualize.panels import (
    panel,
    reconstruction_panel,
    segmentation_panel,
)
from gss_keras.visualize.pictures import (
    colors_for,
    encode,
    overlay,
    paint,
    save,
)

__all__ = [
    "colors_for",
    "confusion_matrix",
    "encode",
    "iou_bars",
    "legend",
    "overlay",
    "paint",
    "palette_chart",
    "panel",
    "reconstruction_panel",
    "save",
    "segmentation_panel",
    "stack",
    "training_curves",
]
