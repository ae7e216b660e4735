"""Lighting of a scene: time of day and weather."""

import colorsys
import dataclasses
import math

import numpy as np


@dataclasses.dataclass(frozen=True)
class Light:
    """The lighting of a scene; colors are RGB arrays `(3,)`, 0 to about 1.

    Attributes:
        sun: Unit vector `(x, y, z)` toward the sun or the moon.
        sun_color: Direct light on a surface that faces the sun.
        shade_color: Ambient light.
        zenith: Color of the sky at the zenith.
        horizon: Color of the sky at the horizon, and of the haze.
        haze_distance: Distance in meters at which haze attenuates colors to
            `1 / e`.
        clouds: Cloud cover, 0 to 1.
        is_night: Whether windows and lamps are lit.
        snow: Snow cover of the ground, 0 to 1.
    """

    sun: tuple
    sun_color: np.ndarray
    shade_color: np.ndarray
    zenith: np.ndarray
    horizon: np.ndarray
    haze_distance: float
    clouds: float
    is_night: bool
    snow: float

    def on(self, normal):
        """Return the irradiance `(3,)` of an unshadowed surface."""
        direct = max(0.0, float(np.dot(normal, self.sun)))
        skyward = 0.8 + 0.2 * normal[1]
        shade = self.shade_color * skyward
        return (self.sun_color * direct + shade).astype("float32")


# Ranges of hue, saturation and value for zenith and horizon; of intensity,
# hue and saturation for the sun; of ambient intensity, haze distance, cloud
# cover, and the sun's elevation in radians.
_MOODS = {
    "noon": dict(
        zenith=((0.54, 0.62), (0.45, 0.8), (0.6, 0.9)),
        horizon=((0.52, 0.6), (0.08, 0.3), (0.85, 1.0)),
        sun=((0.55, 0.8), (0.09, 0.14), (0.03, 0.15)),
        shade=(0.3, 0.45),
        haze=(150, 500),
        clouds=(0.0, 0.6),
        elevation=(0.5, 1.3),
    ),
    "overcast": dict(
        zenith=((0.5, 0.7), (0.0, 0.12), (0.5, 0.85)),
        horizon=((0.5, 0.7), (0.0, 0.08), (0.7, 0.98)),
        sun=((0.05, 0.15), (0.1, 0.15), (0.0, 0.05)),
        shade=(0.5, 0.75),
        haze=(60, 300),
        clouds=(0.6, 1.0),
        elevation=(0.6, 1.2),
    ),
    "golden": dict(
        zenith=((0.55, 0.65), (0.2, 0.5), (0.5, 0.8)),
        horizon=((0.04, 0.12), (0.3, 0.7), (0.85, 1.0)),
        sun=((0.6, 0.85), (0.06, 0.1), (0.4, 0.65)),
        shade=(0.25, 0.4),
        haze=(60, 250),
        clouds=(0.1, 0.7),
        elevation=(0.15, 0.4),
    ),
    "pink": dict(
        zenith=((0.6, 0.76), (0.2, 0.45), (0.4, 0.7)),
        horizon=((0.92, 1.03), (0.25, 0.55), (0.75, 0.95)),
        sun=((0.3, 0.5), (0.95, 1.05), (0.3, 0.5)),
        shade=(0.35, 0.5),
        haze=(60, 250),
        clouds=(0.2, 0.9),
        elevation=(0.1, 0.3),
    ),
    "fog": dict(
        zenith=((0.0, 1.0), (0.0, 0.1), (0.65, 0.9)),
        horizon=((0.0, 1.0), (0.0, 0.1), (0.7, 0.92)),
        sun=((0.0, 0.1), (0.1, 0.15), (0.0, 0.1)),
        shade=(0.5, 0.7),
        haze=(18, 45),
        clouds=(0.8, 1.0),
        elevation=(0.4, 1.2),
    ),
    "dusk": dict(
        zenith=((0.6, 0.72), (0.5, 0.8), (0.2, 0.4)),
        horizon=((0.5, 0.7), (0.25, 0.55), (0.4, 0.6)),
        sun=((0.05, 0.15), (0.6, 0.7), (0.2, 0.4)),
        shade=(0.28, 0.4),
        haze=(60, 250),
        clouds=(0.1, 0.8),
        elevation=(0.2, 0.5),
    ),
    "night": dict(
        zenith=((0.55, 0.75), (0.4, 0.8), (0.06, 0.16)),
        horizon=((0.55, 1.1), (0.2, 0.5), (0.14, 0.3)),
        sun=((0.05, 0.12), (0.55, 0.65), (0.2, 0.4)),
        shade=(0.17, 0.27),
        haze=(80, 300),
        clouds=(0.0, 0.8),
        elevation=(0.4, 1.0),
    ),
}
_PROBABILITIES = {
    "noon": 0.3,
    "overcast": 0.2,
    "golden": 0.14,
    "pink": 0.1,
    "fog": 0.08,
    "dusk": 0.1,
    "night": 0.08,
}


def draw_light(generator):
    """Sample the time of day and the weather.

    Args:
        generator: `numpy.random.Generator`.

    Returns:
        A `Light`.
    """
    name = generator.choice(
        list(_PROBABILITIES), p=list(_PROBABILITIES.values())
    )
    mood = _MOODS[name]
    elevation = generator.uniform(*mood["elevation"])
    azimuth = generator.uniform(0, 2 * np.pi)
    intensity, hue, saturation = (generator.uniform(*r) for r in mood["sun"])
    horizon = draw_color(generator, *mood["horizon"])
    shade = 0.75 + 0.25 * horizon / max(horizon.max(), 1e-3)
    has_snow = name in ("noon", "overcast", "fog", "dusk")
    return Light(
        sun=(
            math.cos(elevation) * math.sin(azimuth),
            math.sin(elevation),
            math.cos(elevation) * math.cos(azimuth),
        ),
        sun_color=intensity * 1.3 * color(hue, saturation, 1.0),
        shade_color=generator.uniform(*mood["shade"]) * 1.25 * shade,
        zenith=draw_color(generator, *mood["zenith"]),
        horizon=horizon,
        haze_distance=generator.uniform(*mood["haze"]),
        clouds=generator.uniform(*mood["clouds"]),
        is_night=name in ("night", "dusk"),
        snow=float(has_snow and generator.random() < 0.15)
        * generator.uniform(0.5, 1.0),
    )


def color(hue, saturation, value):
    """Convert hue, saturation and value, 0 to 1, to an RGB array `(3,)`."""
    return np.array(colorsys.hsv_to_rgb(hue % 1.0, saturation, value), "f4")


def draw_color(generator, hue, saturation, value):
    """Sample an RGB color `(3,)` from ranges of hue, saturation and value."""
    return color(
        generator.uniform(*hue),
        generator.uniform(*saturation),
        generator.uniform(*value),
    )
