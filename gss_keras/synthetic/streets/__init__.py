"""Drawn street scenes: photos and masks without download or license.

Light, weather, materials and the camera's spot change from scene to scene
and every class comes in overlapping colors, so that color and position do
not give a pixel's class away: shape, texture and context do.
"""

from gss_keras.synthetic.streets.files import Streets, draw
from gss_keras.synthetic.streets.scene import CLASSES, draw_scene

__all__ = ["CLASSES", "Streets", "draw", "draw_scene"]
