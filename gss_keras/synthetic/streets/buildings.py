"""Buildings with windows, shop fronts and roofs."""

import math

import numpy as np

from gss_keras.synthetic.streets.canvas import Kind, box
from gss_keras.synthetic.streets.light import color
from gss_keras.synthetic.streets.texture import noise


class Building:
    """A building with a rectangular footprint.

    Args:
        low: `(x, z)` of the corner with the smallest x and z.
        high: `(x, z)` of the opposite corner.
        light: A `Light`.
        generator: `numpy.random.Generator`, for size and appearance.
    """

    def __init__(self, low, high, light, generator):
        self.low, self.high = low, high
        self.position = (low[0] + high[0]) / 2, (low[1] + high[1]) / 2
        self.light = light
        self.storey = generator.uniform(2.8, 3.8)
        storeys = int(generator.choice([1, 2, 2, 3, 3, 4, 5, 6, 9]))
        self.height = storeys * self.storey + generator.uniform(0.2, 0.8)
        self.roof_height = 0.0
        if storeys <= 4 and generator.random() < 0.55:
            self.roof_height = generator.uniform(1.5, 3.5)
        self.wall = _wall_color(generator)
        self.trim = color(*generator.uniform((0, 0, 0.2), (1, 0.3, 1.0)))
        self.roof = color(
            generator.choice([0.02, 0.06, 0.6]),
            generator.uniform(0.0, 0.6),
            generator.uniform(0.2, 0.6),
        )
        self.bay = generator.uniform(1.4, 3.2)
        self.window = generator.uniform((0.35, 0.4), (0.75, 0.75)).tolist()
        self.glass = color(
            generator.uniform(0.5, 0.7),
            generator.uniform(0.0, 0.4),
            generator.uniform(0.1, 0.5),
        )
        self.lit = generator.uniform(0.2, 0.7) if light.is_night else 0.02
        self.brick = generator.choice([0.0, generator.uniform(0.15, 0.35)])
        self.is_banded = generator.random() < 0.3
        self.shop = None
        if generator.random() < 0.35:
            self.shop = color(*generator.uniform((0, 0.2, 0.3), (1, 0.9, 1.0)))
        self.shift = generator.uniform(0, 256)

    def add_shadow(self, shadows):
        """Cast the building's shadow on the ground."""
        shadows.add_block(self.low, self.high, self.height)

    def paint(self, canvas):
        """Render the building on a canvas."""
        low = (self.low[0], 0.0, self.low[1])
        high = (self.high[0], self.height, self.high[1])
        faces, corners = box(low, high)
        canvas.paint_solid(Kind.BUILDING, faces, corners, self._wall_colors)
        if self.roof_height:
            faces, corners = self._roof_faces()
            canvas.paint_solid(Kind.BUILDING, faces, corners, self._roof_colors)

    def _roof_faces(self):
        """Return a gable roof with its ridge along z and overhanging eaves."""
        middle = (self.low[0] + self.high[0]) / 2
        half = (self.high[0] - self.low[0]) / 2 + 0.4
        eave, ridge = self.height, self.height + self.roof_height
        faces, corners = box(
            (middle - half, eave, self.low[1] - 0.3),
            (middle + half, ridge, self.high[1] + 0.3),
        )
        for face, sign in ((0, -1), (1, 1)):
            normal = np.array([sign * self.roof_height, half, 0.0])
            normal /= np.linalg.norm(normal)
            faces[face] = normal, normal @ (middle, ridge, 0.0)
        return faces, corners

    def _roof_colors(self, faces, points):
        """Shade the rows of roof tiles and the gables."""
        tone = 0.9 + 0.2 * noise(points[2] * 20, points[1] * 60 + self.shift)
        tone -= 0.25 * (points[1] * 3.5 % 1 < 0.2)
        slope = self.roof_height / (self.high[0] - self.low[0]) * 2
        length = math.hypot(slope, 1)
        normals = (
            (-slope / length, 1 / length, 0),
            (slope / length, 1 / length, 0),
            (0, 1, 0),
            (0, 0, -1),
            (0, 0, 1),
            (0, -1, 0),
        )
        tiles = self.roof + (0.9 - self.roof) * (self.light.snow > 0.5)
        palette = [
            (self.wall if face >= 3 else tiles) * self.light.on(normal)
            for face, normal in enumerate(normals)
        ]
        return np.stack(palette, 1)[:, faces] * tone

    def _wall_colors(self, faces, points):
        """Shade walls, windows and shop fronts."""
        along = np.where(faces < 2, points[2] - self.low[1], points[0])
        up = points[1]
        column, across = np.divmod(along * (1 / self.bay), 1)
        storey, level = np.divmod(up * (1 / self.storey), 1)
        # Horizontal and vertical distance to the window, negative inside.
        beside = np.abs(across - 0.5) - self.window[0] / 2
        above = np.abs(level - 0.55) - self.window[1] / 2
        window_noise = noise(storey * 71 + self.shift, column * 43)
        tone = 0.92 + 0.16 * noise(along * 12 + self.shift, up * 12)
        if self.brick:
            course, height = np.divmod(up * 4, 1)
            joint = (height < 0.2) | ((along * 2 + course / 2) % 1 < 0.1)
            tone -= self.brick * joint
        if self.is_banded:
            tone -= 0.2 * (level < 0.08)
        # Dirt and ambient occlusion near the ground.
        tone *= 0.75 + 0.25 * np.minimum(1, up / 2)
        is_low = up < self.height - 0.4
        parts = ((beside < 0.06) & (above < 0.05) & is_low).astype("int32")
        pane = (beside < 0) & (above < 0) & is_low
        parts[pane] = 2 + (window_noise[pane] < self.lit)
        tone[pane] = 0.6 + 0.8 * window_noise[pane]
        if self.shop is not None:
            self._add_shop(parts, across, up)
        return self._palette()[:, faces, parts] * tone

    def _palette(self):
        """Return the lit colors `(3, faces, parts)` of all parts."""
        glass = self.glass + 0.15 * self.light.zenith
        shop = self.wall if self.shop is None else self.shop
        parts = (self.wall, self.trim, glass, glass, glass, 0.7 * shop, shop)
        normals = ((-1, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, -1), (0, 0, 1))
        lights = np.stack([self.light.on(normal) for normal in normals])
        palette = np.stack(parts, 1)[:, None] * lights.T[:, :, None]
        # Lit windows are emissive.
        is_dark = self.light.is_night
        lit = color(0.11, 0.5, 1.2) if is_dark else 1.4 * glass
        palette[:, :, 3] = lit[:, None]
        return palette

    def _add_shop(self, parts, across, up):
        """Add a shop with windows and a signboard on the ground floor."""
        parts[up < self.storey] = 5
        pane = (up > 0.5) & (up < self.storey * 0.74)
        parts[pane & (np.abs(across - 0.5) < 0.44)] = 4
        parts[(up > self.storey * 0.78) & (up < self.storey)] = 6


def _wall_color(generator):
    """Sample a wall color: stone, plaster or paint of any hue."""
    if generator.random() < 0.3:
        hue, saturation = generator.uniform(0, 1), generator.uniform(0.2, 0.55)
    else:
        hue, saturation = (
            generator.choice([0.02, 0.06, 0.1, 0.6]),
            generator.uniform(0, 0.45),
        )
    return color(hue, saturation, generator.uniform(0.3, 0.95))
