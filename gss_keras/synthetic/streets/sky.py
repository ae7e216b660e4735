"""Sky, clouds and atmospheric haze."""

import numpy as np

from gss_keras.synthetic.streets.canvas import Kind
from gss_keras.synthetic.streets.texture import noise


def paint_sky(canvas, light, generator):
    """Render the sky with clouds and sun as the background.

    Args:
        canvas: A `Canvas` with all objects and the ground rendered.
        light: A `Light`.
        generator: `numpy.random.Generator`, for the clouds.
    """
    hits = np.nonzero(canvas.inverse_depth == 0)
    rise = np.maximum(-canvas.down[hits], 0)
    blend = np.minimum(1, rise * generator.uniform(1.2, 3.0))
    gradient = (light.zenith - light.horizon)[:, None]
    colors = light.horizon[:, None] + gradient * blend
    # Clouds are on a horizontal plane, so they shrink toward the horizon.
    distance = 1 / (rise + 0.12)
    scale = generator.uniform(6.0, 18.0)
    shift = generator.uniform(0, 256, 2).tolist()
    cover = noise(
        canvas.right[hits] * distance * scale + shift[0],
        distance * scale * 2 + shift[1],
    )
    softness = generator.uniform(0.15, 0.5)
    density = np.clip((light.clouds - cover) / softness, 0, 1)
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
    """Blend colors exponentially into the horizon color with distance: haze.

    Args:
        canvas: A `Canvas` with all objects rendered.
        light: A `Light`.
    """
    is_sky = canvas.inverse_depth == 0
    inverse_depth = np.where(is_sky, np.float32(np.inf), canvas.inverse_depth)
    transmittance = np.exp((-1 / light.haze_distance) / inverse_depth)
    for channel, haze in zip(
        canvas.colors, light.horizon.tolist(), strict=True
    ):
        channel -= haze
        channel *= transmittance
        channel += haze


def _sun_glow(canvas, light, hits):
    """Return the color `(3, rays)` of the sun's glow and its disk."""
    x, y, z = (axis[hits] for axis in canvas.rays)
    projection = x * light.sun[0] + y * light.sun[1] + z * light.sun[2]
    cosine = projection / np.sqrt(x**2 + y**2 + z**2)
    glow = 0.35 * np.clip(cosine, 0, 1) ** 24 + (cosine > 0.9985)
    return light.sun_color[:, None] * glow
