"""Pictures for people: masks over photos, panels, charts of scores.

Every function returns a picture, a uint8 array `(height, width, 3)` that
`save` writes, so that recipes, notebooks and reports show the same ones.
Pictures of photos and masks need Pillow, charts Matplotlib, both of the extra
`data`.
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
