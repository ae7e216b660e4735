"""Synthetic street scenes, rendered with masks: no download, no license.

Lighting, weather, materials and camera pose are randomized, and the color
distributions of the classes overlap. Color and position therefore do not
determine the class of a pixel; shape, texture and context do.
"""

from gss_keras.synthetic.streets.files import Streets, draw
from gss_keras.synthetic.streets.scene import CLASSES, draw_scene

__all__ = ["CLASSES", "Streets", "draw", "draw_scene"]
