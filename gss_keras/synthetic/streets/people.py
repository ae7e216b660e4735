"""Pedestrians in random poses and clothes."""

import numpy as np

from gss_keras.synthetic.streets.canvas import Kind
from gss_keras.synthetic.streets.light import color


class Pedestrian:
    """A person standing or walking.

    Args:
        x: Position across the street.
        z: Position along the street.
        light: A `Light`.
        generator: `numpy.random.Generator`, for size, pose and clothes.
    """

    def __init__(self, x, z, light, generator):
        self.position = x, z
        self.light = light
        self.height = generator.uniform(1.5, 1.95)
        if generator.random() < 0.12:
            self.height = generator.uniform(1.0, 1.4)
        self.breadth = generator.uniform(0.9, 1.25)
        self.stride = generator.uniform(-0.26, 0.26)
        self.swing = generator.uniform(0.0, 0.2)
        self.side = generator.choice([-1, 1])
        self.skin = color(
            generator.uniform(0.04, 0.09),
            generator.uniform(0.3, 0.6),
            generator.uniform(0.3, 0.95),
        )
        self.hair = color(
            0.08, generator.uniform(0, 0.7), generator.uniform(0.05, 0.6)
        )
        self.coat = color(*generator.uniform((0, 0, 0.08), (1, 0.9, 0.95)))
        self.trousers = color(*generator.uniform((0, 0, 0.05), (1, 0.6, 0.7)))
        self.has_skirt = generator.random() < 0.2
        self.has_bag = generator.random() < 0.3
        self.bag = color(*generator.uniform((0, 0, 0.1), (1, 0.9, 0.9)))

    def add_shadow(self, shadows):
        """Cast the person's shadow on the ground."""
        shadows.add_round(*self.position, 0.4, 0.0, self.height, 0.7)

    def paint(self, canvas):
        """Render the person on a canvas."""
        canvas.paint_upright(
            Kind.PEDESTRIAN,
            *self.position,
            1.2,
            self.height + 0.1,
            self._parts,
            self._colors,
        )

    def _colors(self, parts, across, up):  # noqa: ARG002
        """Shade skin, hair and clothes."""
        black = np.full(3, 0.1, "float32")
        palette = np.stack(
            [
                black,
                self.coat,
                self.trousers,
                black,
                self.skin,
                self.hair,
                self.bag,
            ],
            1,
        )
        fold = 0.85 + 0.3 * np.clip(across * (self.side / 0.25), -1, 1)
        light = self.light.on((0.0, 0.4, -0.5))
        return (palette * light[:, None])[:, parts] * fold

    def _parts(self, across, up):
        """Return part ids: 1 coat, 2 trousers, 3 shoes, 4 skin, 5 hair, 6 bag.

        Args:
            across: Horizontal offsets in meters.
            up: Heights in meters.
        """
        scale = 1.75 / self.height
        u, v = across * (scale / self.breadth), up * scale
        offset = np.abs(u)
        is_upper = (v > 0.78) & (v < 1.43)
        swing = 0.24 + self.swing * np.clip((1.35 - v) / 0.6, 0, 1)
        coat = offset < 0.2 + 0.06 * (v - 0.8)
        coat |= np.abs(offset - swing) < 0.06
        parts = (coat & is_upper).astype("uint8")
        is_lower = (v > 0) & (v < 0.85)
        step = 0.06 + self.stride * np.clip((0.85 - v) / 0.85, 0, 1)
        leg = (np.abs(u - step) < 0.09) | (np.abs(u + step) < 0.09)
        parts[leg & is_lower] = 2
        parts[leg & is_lower & (v < 0.09)] = 3
        if self.has_skirt:
            parts[is_lower & (offset < 0.34 - 0.2 * v) & (v > 0.45)] = 2
        head = (u / 0.13) ** 2 + ((v - 1.58) / 0.17) ** 2 < 1
        parts[head] = 4
        parts[head & ((v > 1.62) | (u * self.side < -0.07))] = 5
        if self.has_bag:
            bag = np.abs(u - self.side * 0.32) < 0.12
            parts[bag & (np.abs(v - 0.68) < 0.15)] = 6
        return parts
