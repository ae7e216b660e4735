"""Street furniture: poles, street lamps and traffic signs."""

import numpy as np

from gss_keras.synthetic.streets.canvas import Kind
from gss_keras.synthetic.streets.light import color

_MIN_PIXELS = 3.0


class Pole:
    """A street lamp, a mast with crossbars, or a bare pole.

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
            ["lamp", "mast", "bare"], p=[0.6, 0.2, 0.2]
        )
        self.height = generator.uniform(4.5, 8.0)
        self.width = generator.uniform(0.14, 0.26)
        self.arm = generator.uniform(0.8, 1.6) * (-1 if x > 0 else 1)
        self.paint_color = color(
            generator.random(),
            generator.choice([0.05, generator.uniform(0.2, 0.6)]),
            generator.uniform(0.12, 0.85),
        )

    def add_shadow(self, shadows):
        """Cast the pole's shadow, and at night the lamp's light."""
        shadows.add_round(*self.position, 0.35, 0.0, 1.2, 0.6)
        if self.light.is_night and self.shape == "lamp":
            x, z = self.position
            shadows.add_lamp(x + self.arm, z, 6.0, 0.7)

    def paint(self, canvas):
        """Render the pole on a canvas."""
        pixel = canvas.pixel_size(*self.position)
        self.half = max(self.width, _MIN_PIXELS * pixel) / 2
        wide = 2 * abs(self.arm) + 1.2
        canvas.paint_upright(
            Kind.POLE,
            *self.position,
            wide,
            self.height + 0.3,
            self._parts,
            self._colors,
        )

    def _colors(self, parts, across, up):  # noqa: ARG002
        """Shade metal and lamp."""
        # A brightness gradient makes the pole look round.
        tone = 0.8 + 0.35 * np.clip(across / self.half, -1, 1)
        light = self.light.on((0.0, 0.5, -0.5))
        colors = (self.paint_color * light)[:, None] * tone
        lamp = color(0.12, 0.25, 1.0 if self.light.is_night else 0.75)
        return np.where(parts == 2, lamp[:, None], colors)

    def _parts(self, across, up):
        """Return part ids: 1 for metal, 2 for the lamp."""
        parts = (np.abs(across) < self.half) & (up > 0) & (up < self.height)
        parts = parts.astype("uint8")
        thickness = max(0.08, self.half * 0.8)
        if self.shape == "lamp":
            along_arm = across * (1 / self.arm)
            top = np.abs(up - self.height + thickness) < thickness
            parts[top & (along_arm > 0) & (along_arm < 1)] = 1
            parts[top & (along_arm > 0.55) & (along_arm < 1.05)] = 2
        elif self.shape == "mast":
            for level in (0.9, 0.78):
                bar = np.abs(up - self.height * level) < thickness
                parts[bar & (np.abs(across) < abs(self.arm))] = 1
        return parts


class Sign:
    """A traffic sign on a post. The post has class "pole".

    Args:
        x: Position across the street.
        z: Position along the street.
        light: A `Light`.
        generator: `numpy.random.Generator`, for shape and colors.
    """

    def __init__(self, x, z, light, generator):
        self.position = x, z
        self.light = light
        self.shape = generator.choice(
            ["disk", "triangle", "diamond", "square", "octagon", "board"]
        )
        self.radius = generator.uniform(0.4, 0.6)
        self.center = generator.uniform(2.1, 3.0)
        vivid = color(generator.random(), generator.uniform(0.6, 0.95), 0.8)
        white = color(0.1, 0.05, 0.95)
        dark = color(generator.random(), 0.4, 0.15)
        colors = [vivid, white, dark]
        order = generator.choice([(0, 1, 2), (1, 0, 2), (0, 1, 0), (1, 2, 0)])
        self.border, self.face, self.symbol = (colors[at] for at in order)
        self.figure = generator.choice(["bar", "dot", "stripes", "arrow"])
        self.post_color = color(0.6, 0.05, generator.uniform(0.2, 0.7))

    def add_shadow(self, shadows):
        """Cast the post's shadow on the ground."""
        shadows.add_round(*self.position, 0.35, 0.0, 1.0, 0.5)

    def paint(self, canvas):
        """Render post and sign on a canvas."""
        pixel = canvas.pixel_size(*self.position)
        self.half = max(0.09, _MIN_PIXELS * pixel) / 2
        # A sign of a few pixels could not be distinguished from its post.
        self.size = max(self.radius, 5.0 * pixel)
        top = self.center + 1.3 * self.size
        wide = 3.4 * self.size
        for kind, shape, paint in (
            (Kind.SIGN, self._face, self._face_colors),
            (Kind.POLE, self._post, self._post_colors),
        ):
            canvas.paint_upright(kind, *self.position, wide, top, shape, paint)

    def _post(self, across, up):
        """Return the mask of the post."""
        return (np.abs(across) < self.half) & (up > 0) & (up < self.center)

    def _post_colors(self, parts, across, up):  # noqa: ARG002
        """Shade the post."""
        return (self.post_color * self.light.on((0.0, 0.5, -0.5)))[:, None]

    def _face(self, across, up):
        """Return the mask of the sign."""
        u, v = across / self.size, (up - self.center) / self.size
        return self._distance(u, v) < 1

    def _face_colors(self, parts, across, up):
        """Shade face, border and symbol."""
        u, v = across / self.size, (up - self.center) / self.size
        distance = self._distance(u, v)
        figure = {
            "bar": (np.abs(v) < 0.16) & (np.abs(u) < 0.55),
            "dot": u**2 + v**2 < 0.12,
            "stripes": ((u + v) % 0.5 < 0.2) & (distance < 0.7),
            "arrow": (np.abs(u) < 0.13) & (np.abs(v) < 0.5)
            | (np.abs(u) < 0.5 - v) & (v > 0.1) & (v < 0.5),
        }[self.figure]
        parts = np.where(distance > 0.76, 2, figure)
        # Signs are retroreflective: they stay bright in the dark.
        light = 0.75 * self.light.on((0.0, 0.3, -0.7)) + np.float32(0.25)
        palette = np.stack([self.face, self.symbol, self.border], 1)
        return (palette * light[:, None])[:, parts]

    def _distance(self, u, v):
        """Return the normalized distance from the center, 1 at the edge."""
        if self.shape == "disk":
            return np.sqrt(u**2 + v**2)
        if self.shape == "triangle":
            return np.maximum(-v, np.abs(u) * 0.87 + v * 0.5) / 0.7
        if self.shape == "diamond":
            return (np.abs(u) + np.abs(v)) / 1.15
        if self.shape == "square":
            return np.maximum(np.abs(u), np.abs(v)) / 0.88
        if self.shape == "board":
            return np.maximum(np.abs(u) / 1.5, np.abs(v) / 0.75)
        straight = np.maximum(np.abs(u), np.abs(v))
        return np.maximum(straight, (np.abs(u) + np.abs(v)) * 0.71)
