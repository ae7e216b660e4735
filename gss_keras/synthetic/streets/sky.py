"""The sky with its clouds, and the haze between camera and things."""

import numpy as np

from gss_keras.synthetic.streets.canvas import Kind
from gss_keras.synthetic.streets.texture import noise


def paint_sky(canvas, light, generator):
    """Paint the sky behind everything.

    Args:
        canvas: A `Canvas` with all things and the ground painted.
        light: A `Light`.
        generator: `numpy.random.Generator`, for the clouds.
    """
    hits = np.nonzero(canvas.closeness == 0)
    rise = np.maximum(-canvas.down[hits], 0)
    part = np.minimum(1, rise * generator.uniform(1.2, 3.0))
    change = (light.zenith - light.horizon)[:, None]
    colors = light.horizon[:, None] + change * part
    # Clouds lie on a plane above: they shrink towards the horizon.
    distance = 1 / (rise + 0.12)
    scale = generator.uniform(6.0, 18.0)
    shift = generator.uniform(0, 256, 2).tolist()
    cover = noise(
        canvas.right[hits] * distance * scale + shift[0],
        distance * scale * 2 + shift[1],
    )
    soft = generator.uniform(0.15, 0.5)
    density = np.clip((light.clouds - cover) / soft, 0, 1)
    bright = light.horizon * 0.75 + 0.3 * light.sun_color + 0.05
    bright = np.minimum(1.0, bright)
    gray = 0.55 * bright + 0.25 * light.zenith
    body = bright[:, None] + (gray - bright)[:, None] * (0.7 * density)
    colors = colors + (body - colors) * (0.85 * density)
    if light.is_night:
        stars = (generator.random(rise.shape) > 0.9985) & (cover > light.clouds)
        colors = np.where(stars, np.float32(0.7), colors)
    canvas.colors[:, *hits] = colors + _sun_glow(canvas, light, hits)
    canvas.kinds[hits] = Kind.SKY


def add_haze(canvas, light):
    """Fade things into the color of the horizon with their distance.

    Args:
        canvas: A `Canvas` with all things painted.
        light: A `Light`.
    """
    is_sky = canvas.closeness == 0
    closeness = np.where(is_sky, np.float32(np.inf), canvas.closeness)
    fade = np.exp((-1 / light.haze_distance) / closeness)
    for plane, haze in zip(canvas.colors, light.horizon.tolist(), strict=True):
        plane -= haze
        plane *= fade
        plane += haze


def _sun_glow(canvas, light, hits):
    """Return the glow of the sun, and its disk where the camera sees it."""
    across, up, ahead = (axis[hits] for axis in canvas.rays)
    toward = across * light.sun[0] + up * light.sun[1] + ahead * light.sun[2]
    nearness = toward / np.sqrt(across**2 + up**2 + ahead**2)
    glow = 0.35 * np.clip(nearness, 0, 1) ** 24 + (nearness > 0.9985)
    return light.sun_color[:, None] * glow
