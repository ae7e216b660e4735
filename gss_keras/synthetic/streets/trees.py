"""Trees and bushes."""

import numpy as np

from gss_keras.synthetic.streets.canvas import Kind
from gss_keras.synthetic.streets.light import color
from gss_keras.synthetic.streets.texture import noise


class Tree:
    """A tree. Trunk and crown have the same class.

    Args:
        x: Position across the street.
        z: Position along the street.
        light: A `Light`.
        generator: `numpy.random.Generator`, for size and appearance.
    """

    def __init__(self, x, z, light, generator):
        self.position = x, z
        self.light = light
        self.shape = generator.choice(
            ["round", "cone", "tall", "bush"], p=[0.55, 0.15, 0.15, 0.15]
        )
        self.height = generator.uniform(4.0, 9.0)
        self.radius = self.height * generator.uniform(0.25, 0.4)
        self.trunk_height = self.height * generator.uniform(0.25, 0.4)
        if self.shape == "cone":
            self.trunk_height = self.height * generator.uniform(0.08, 0.2)
        elif self.shape == "tall":
            self.radius = self.height * generator.uniform(0.14, 0.2)
        elif self.shape == "bush":
            self.height = generator.uniform(1.0, 2.2)
            self.radius = generator.uniform(0.7, 1.8)
            self.trunk_height = 0.0
        self.trunk_width = generator.uniform(0.3, 0.5)
        self.leaves = _leaf_color(generator)
        self.bark = color(0.07, generator.uniform(0.1, 0.5), 0.32)
        self.gaps = generator.uniform(0.04, 0.2)
        self.ragged = generator.uniform(0.2, 0.5)
        self.leaf_size = generator.uniform(10.0, 24.0)
        self.shift = generator.uniform(0, 256, 2).tolist()

    def add_shadow(self, shadows):
        """Cast the tree's shadow on the ground."""
        shadows.add_round(
            *self.position, self.radius, self.trunk_height, self.height
        )
        shadows.add_round(*self.position, 0.4, 0.0, 0.3)

    def paint(self, canvas):
        """Render the tree on a canvas."""
        wide = 2.6 * self.radius
        canvas.paint_upright(
            Kind.TREE,
            *self.position,
            wide,
            self.height * 1.15,
            self._parts,
            self._colors,
        )

    def _colors(self, parts, across, up):
        """Shade bark and leaves."""
        leaves = self._noise(across, up, self.leaf_size)
        # The crown is lit from above.
        level = np.clip(self._level(up), -1, 1)
        tone = (0.55 + 0.75 * leaves) * (0.65 + 0.35 * level)
        light = self.light.on((0.0, 0.9, 0.0))
        light = light[:, None]
        colors = self.leaves[:, None] * tone
        if self.light.snow > 0.6:
            snowy = leaves * (0.6 + 0.4 * level) > 0.55
            colors = np.where(snowy, np.float32(0.9), colors)
        bark = self.bark[:, None] * (0.7 + 0.6 * self._noise(across, up, 9.0))
        return np.where(parts == 2, colors, bark) * light

    def _noise(self, across, up, size):
        return noise(across * size + self.shift[0], up * size + self.shift[1])

    def _level(self, up):
        """Return the height in the crown, from -1 (bottom) to 1 (top)."""
        middle = (self.height + self.trunk_height) / 2
        return (up - middle) * (2 / (self.height - self.trunk_height))

    def _parts(self, across, up):
        """Return part ids: 1 for bark, 2 for leaves."""
        level = self._level(up)
        if self.shape == "cone":
            radius = self.radius * np.clip(1 - level, 0.05, 2) / 2
            distance = np.abs(across) / radius
            distance[np.abs(level) > 1] = 9.0
        else:
            distance = np.sqrt((across / self.radius) ** 2 + level**2)
        edge = distance + self.ragged * (self._noise(across, up, 9.0) - 0.5)
        leaves = self._noise(across, up, self.leaf_size)
        crown = (edge < 1) & ((leaves > self.gaps) | (edge < 0.6)) & (up > 0)
        trunk = (np.abs(across) < self.trunk_width / 2) & (up > 0)
        trunk &= level < 0
        return np.where(crown, 2, trunk)


def _leaf_color(generator):
    """Sample a leaf color: green, autumn or blossom."""
    season = generator.choice(
        ["green", "autumn", "blossom"], p=[0.6, 0.28, 0.12]
    )
    if season == "green":
        return color(
            generator.uniform(0.19, 0.42),
            generator.uniform(0.2, 0.75),
            generator.uniform(0.3, 0.75),
        )
    if season == "autumn":
        return color(
            generator.uniform(-0.01, 0.13),
            generator.uniform(0.35, 0.85),
            generator.uniform(0.4, 0.9),
        )
    return color(
        generator.uniform(0.85, 1.0),
        generator.uniform(0.05, 0.4),
        generator.uniform(0.8, 1.0),
    )
