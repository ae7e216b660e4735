"""The ground: street layout, shadow map, road and pavement."""

import dataclasses
import functools

import numpy as np

from gss_keras.synthetic.streets.canvas import NOTHING, Kind
from gss_keras.synthetic.streets.light import color
from gss_keras.synthetic.streets.texture import noise

# The grid of the shadow map in x and z: cell size and origin in meters,
# number of cells, and the depth beyond which round shadows are skipped.
_CELL = 0.25
_ORIGIN = (-32.0, -12.0)
_CELLS = (256, 400)
_MAX_DEPTH = 60.0


@dataclasses.dataclass(frozen=True)
class Plan:
    """The layout of a street along z, in meters.

    Attributes:
        curbs: x of the left and right curb, between road and pavement.
        fronts: x of the left and right building line.
        crossing: z of both edges of a side street, or `None`.
        end: z of the buildings at the end of the street, or `None`.
    """

    curbs: tuple
    fronts: tuple
    crossing: tuple | None
    end: float | None

    def is_road(self, x, z):
        """Return whether ground points are on a road."""
        road = (x > self.curbs[0]) & (x < self.curbs[1])
        if self.end is not None:
            # The street ends at a T-junction.
            road &= z < self.end - 4.0
            road |= (z < self.end - 4.0) & (z > self.end - 10.0)
        if self.crossing is not None:
            road |= (z > self.crossing[0]) & (z < self.crossing[1])
        return road


class Shadows:
    """A shadow map: sunlight and lamp light on a grid of the ground plane."""

    def __init__(self, light):
        self.light = light
        self.sun = np.ones(_CELLS, "float32")
        self.lamps = np.zeros(_CELLS, "float32")
        slope = max(light.sun[1], 0.15)
        # Offset of a shadow in x and z per meter of height.
        self._offset = -light.sun[0] / slope, -light.sun[2] / slope

    def add_block(self, low, high, height):
        """Add the shadow of a box between the ground corners `(x, z)`."""
        steps = max(2, int(height / 2))
        for level in np.linspace(0, height, steps):
            rows = self._cells(0, low[0], high[0], level * self._offset[0])
            columns = self._cells(1, low[1], high[1], level * self._offset[1])
            self.sun[rows, columns] = 0.0

    def add_round(self, x, z, radius, low, high, strength=0.8):
        """Add the soft shadow of a round object between two heights."""
        if z > _MAX_DEPTH:
            return
        for level in (low, (low + high) / 2, high):
            window, falloff = self._disk(
                x + level * self._offset[0], z + level * self._offset[1], radius
            )
            self.sun[window] *= 1 - strength * np.minimum(1, 3 * falloff)

    def add_lamp(self, x, z, radius, strength):
        """Add a lamp as a light source."""
        window, falloff = self._disk(x, z, radius)
        self.lamps[window] += strength * falloff**2

    def at(self, x, z):
        """Look up sunlight and lamp light, 0 to 1 each, at ground points."""
        rows = ((x - _ORIGIN[0]) / _CELL).astype("int32")
        columns = ((z - _ORIGIN[1]) / _CELL).astype("int32")
        rows = np.clip(rows, 0, _CELLS[0] - 1)
        columns = np.clip(columns, 0, _CELLS[1] - 1)
        return self.sun[rows, columns], self.lamps[rows, columns]

    def soften(self):
        """Blur the edges of the shadows."""
        for axis in (0, 1):
            ahead = np.roll(self.sun, 1, axis)
            behind = np.roll(self.sun, -1, axis)
            self.sun = 0.5 * self.sun + 0.25 * (ahead + behind)

    def _cells(self, axis, low, high, shift):
        first = int((low + shift - _ORIGIN[axis]) / _CELL)
        last = int(np.ceil((high + shift - _ORIGIN[axis]) / _CELL))
        return slice(max(first, 0), max(last, 0))

    def _disk(self, x, z, radius):
        """Return the grid window of a disk and its falloff from 1 to 0."""
        disk = _disk(max(1, round(radius / _CELL)))
        half = disk.shape[0] // 2
        row = round((x - _ORIGIN[0]) / _CELL) - half
        column = round((z - _ORIGIN[1]) / _CELL) - half
        top, left = max(row, 0), max(column, 0)
        bottom = min(row + disk.shape[0], _CELLS[0])
        right = min(column + disk.shape[0], _CELLS[1])
        if top >= bottom or left >= right:
            return (slice(0, 0), slice(0, 0)), disk[:0, :0]
        window = slice(top, bottom), slice(left, right)
        return window, disk[
            top - row : bottom - row, left - column : right - column
        ]


@functools.cache
def _disk(radius):
    """Return a radial falloff, 1 at the center and 0 at the edge."""
    steps = np.arange(-radius, radius + 1) / (radius + 0.5)
    distance = np.hypot(steps[:, None], steps[None])
    return np.clip(1 - distance, 0, 1).astype("float32")


class Ground:
    """Road and pavement with random materials.

    Args:
        plan: A `Plan`.
        light: A `Light`.
        generator: `numpy.random.Generator`, for the materials.
    """

    def __init__(self, plan, light, generator):
        self.plan = plan
        self.light = light
        self.road = _material(generator, (0.16, 0.6))
        self.pavement = _material(generator, (0.25, 0.75))
        self.tile = generator.uniform(0.5, 1.6, 2).tolist()
        self.joint = generator.uniform(0.7, 0.95)
        self.marking = color(0.12, generator.choice([0.0, 0.6]), 0.9)
        self.has_center_line = generator.random() < 0.7
        self.has_edge_lines = generator.random() < 0.4
        self.has_zebra = generator.random() < 0.6
        self.is_cobbled = generator.random() < 0.2
        self.patch = generator.uniform(0.0, 0.35)
        self.shift = generator.uniform(0, 256, 2).tolist()

    def paint(self, canvas, shadows):
        """Render the ground below the horizon on a canvas.

        Args:
            canvas: A `Canvas`.
            shadows: The `Shadows` of all objects.
        """
        eye = canvas.camera.position
        is_open = canvas.kinds == NOTHING
        hits = np.nonzero(is_open & (canvas.inverse_depth > 0))
        depth = 1 / canvas.inverse_depth[hits]
        x = float(eye[0]) + depth * canvas.rays[0][hits]
        z = float(eye[2]) + depth * canvas.rays[2][hits]
        # Fade out the texture with distance, where it would alias.
        nearness = 1 / (1 + (depth / 14) ** 2)
        is_road = self.plan.is_road(x, z)
        colors = np.empty((3, *x.shape), "float32")
        for mask, paint in (
            (is_road, self._road_colors),
            (~is_road, self._pavement_colors),
        ):
            colors[:, mask] = paint(x[mask], z[mask], nearness[mask])
        colors = self._add_snow(colors, x, z)
        sun, lamps = shadows.at(x, z)
        light = self.light
        direct = light.sun_color * max(0.0, light.sun[1])
        brightness = direct[:, None] * sun + light.shade_color[:, None]
        if light.is_night:
            brightness += color(0.11, 0.35, 1.0)[:, None] * lamps
        canvas.colors[:, *hits] = colors * brightness
        canvas.kinds[hits] = np.where(is_road, Kind.ROAD, Kind.PAVEMENT)

    def _road_colors(self, x, z, nearness):
        """Shade asphalt or cobblestones with road markings."""
        fine = noise(x * 40 + self.shift[0], z * 40) - 0.5
        coarse = noise(x * 5, z * 5 + self.shift[1]) - 0.5
        tone = 1 + 0.3 * nearness * fine + self.patch * coarse
        if self.is_cobbled:
            row = np.floor(z / 0.25)
            across = (x / 0.25 + 0.5 * (row % 2)) % 1
            joint = (across < 0.2) | (z / 0.25 % 1 < 0.2)
            tone *= 1 - 0.4 * nearness * joint
        colors = self.road[:, None] * tone
        is_marked = np.zeros(x.shape, bool)
        left, right = self.plan.curbs
        if self.has_center_line:
            is_marked |= (np.abs(x - (left + right) / 2) < 0.09) & (z % 5 < 2.5)
        if self.has_edge_lines:
            is_marked |= np.abs(np.abs(x - (left + right) / 2) - 3.1) < 0.08
        if self.plan.crossing is not None:
            near, far = self.plan.crossing
            is_marked &= (z < near - 1.5) | (z > far)
            if self.has_zebra:
                zebra = (z > near - 3.6) & (z < near - 0.6)
                is_marked |= zebra & (x % 1.0 < 0.5)
        is_intact = noise(x * 12, z * 12) > 0.2
        return np.where(is_marked & is_intact, self.marking[:, None], colors)

    def _pavement_colors(self, x, z, nearness):
        """Shade paving stones and curbs."""
        fine = noise(x * 30, z * 30 + self.shift[0]) - 0.5
        row = np.floor(z / self.tile[1])
        column = np.floor(x / self.tile[0] + 0.5 * (row % 2))
        stone = noise(row * 37.0, column * 53.0 + self.shift[1]) - 0.5
        tone = 1 + nearness * (0.2 * fine + 0.25 * stone)
        in_joint = x / self.tile[0] + 0.5 * (row % 2) - column < 0.05
        in_joint |= z / self.tile[1] - row < 0.05
        tone *= np.where(in_joint, 1 - nearness * (1 - self.joint), 1)
        left, right = self.plan.curbs
        curb = (np.abs(x - left + 0.12) < 0.13) | (
            np.abs(x - right - 0.12) < 0.13
        )
        return self.pavement[:, None] * (tone * np.where(curb, 1.25, 1))

    def _add_snow(self, colors, x, z):
        """Add patches of snow."""
        if not self.light.snow:
            return colors
        cover = noise(x * 8, z * 8 + self.shift[0]) < self.light.snow
        white = 0.92 - 0.1 * noise(x * 20, z * 20)
        return np.where(cover, white, colors)


def _material(generator, brightness):
    """Sample the color of a road or pavement: mostly gray, of any hue."""
    is_vivid = generator.random() < 0.3
    return color(
        generator.choice([0.06, 0.1, 0.6, generator.random()]),
        generator.uniform(0.15, 0.45)
        if is_vivid
        else generator.uniform(0, 0.15),
        generator.uniform(*brightness),
    )
