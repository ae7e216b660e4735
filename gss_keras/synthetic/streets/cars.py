"""Cars, vans and trucks with windows, wheels and lights."""

import numpy as np

from gss_keras.synthetic.streets.canvas import Kind, box
from gss_keras.synthetic.streets.light import color

_SHAPES = {
    # Width, length, height of the body, height of the cabin, inset of the
    # cabin at the front and back, slope of windshield and rear window.
    "sedan": (1.8, 4.5, 0.95, 1.45, 1.2, 0.7, 0.55, 0.45),
    "hatchback": (1.7, 3.8, 0.95, 1.5, 0.95, 0.1, 0.55, 0.35),
    "van": (2.0, 5.0, 1.1, 2.3, 0.6, 0.05, 0.6, 0.1),
    "suv": (1.95, 4.6, 1.1, 1.75, 1.0, 0.1, 0.5, 0.3),
    "truck": (2.2, 6.0, 1.2, 2.8, 0.1, 0.05, 0.25, 0.05),
}


class Car:
    """An axis-aligned car.

    Args:
        x: Center of the car across the street.
        z: Center of the car along the street.
        is_along: Whether it points along the street instead of across it.
        sign: 1 if it points toward increasing x or z, -1 otherwise.
        light: A `Light`.
        generator: `numpy.random.Generator`, for shape and paint.
    """

    def __init__(self, x, z, is_along, sign, light, generator):
        self.position = x, z
        self.axis = 2 if is_along else 0
        self.sign = sign
        self.light = light
        shape = generator.choice(list(_SHAPES), p=[0.3, 0.3, 0.15, 0.17, 0.08])
        scale = generator.uniform(0.95, 1.08)
        self.shape = [length * scale for length in _SHAPES[shape]]
        self.body = color(
            generator.random(),
            generator.choice([0.05, generator.uniform(0.3, 0.9)]),
            generator.uniform(0.08, 0.95),
        )
        self.glass = color(0.58, 0.25, generator.uniform(0.08, 0.3))
        self.has_lamps_on = light.is_night or generator.random() < 0.2

    def add_shadow(self, shadows):
        """Cast the car's shadow on the ground."""
        half = [self.shape[0] / 2, self.shape[1] / 2]
        if self.axis == 0:
            half.reverse()
        x, z = self.position
        low = x - half[0], z - half[1]
        high = x + half[0], z + half[1]
        shadows.add_block(low, high, 0.8 * self.shape[3])

    def paint(self, canvas):
        """Render the car on a canvas."""
        width, length, waist, _, front, back, _, _ = self.shape
        body = self._box(0.0, waist, -length / 2, length / 2, width / 2)
        canvas.paint_solid(Kind.CAR, *body, self._body_colors)
        cabin = self._cabin(front, back)
        canvas.paint_solid(Kind.CAR, *cabin, self._cabin_colors)

    def _box(self, bottom, top, rear, nose, half):
        """Return a box given in the car's coordinates."""
        ends = sorted((self.sign * rear, self.sign * nose))
        low, high = [0.0, bottom, 0.0], [0.0, top, 0.0]
        across = 2 - self.axis
        center = {0: self.position[0], 2: self.position[1]}
        low[self.axis], high[self.axis] = (center[self.axis] + e for e in ends)
        low[across] = center[across] - half
        high[across] = center[across] + half
        return box(low, high)

    def _cabin(self, front, back):
        """Return the cabin, a box with four sides sloping inwards."""
        width, length, waist, top, _, _, slope_front, slope_back = self.shape
        faces, corners = self._box(
            waist - 0.02,
            top,
            -length / 2 + back,
            length / 2 - front,
            width / 2 - 0.05,
        )
        slopes = {
            self.axis: (slope_back, slope_front),
            2 - self.axis: (0.15, 0.15),
        }
        for face, axis, side in ((0, 0, -1), (1, 0, 1), (3, 2, -1), (4, 2, 1)):
            slope = slopes[axis][int(side * self.sign > 0)]
            normal = np.zeros(3)
            normal[axis] = side
            normal[1] = slope / (top - waist)
            base = (
                corners[:, axis].max() if side > 0 else corners[:, axis].min()
            )
            distance = side * base + normal[1] * waist
            scale = np.linalg.norm(normal)
            faces[face] = normal / scale, distance / scale
        return faces, corners

    def _local(self, points):
        """Convert world points to the car's coordinates: along, up, across."""
        center = {0: self.position[0], 2: self.position[1]}
        along = self.sign * (points[self.axis] - center[self.axis])
        across = points[2 - self.axis] - center[2 - self.axis]
        return along, points[1], across

    def _palette(self, parts):
        """Return the lit colors `(3, faces, parts)` of parts."""
        normals = ((-1, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, -1), (0, 0, 1))
        lights = [self.light.on(normal) for normal in normals]
        lights.append(0.3 * self.light.shade_color)
        return np.stack(parts, 1)[:, None] * np.stack(lights, 1)[:, :, None]

    def _is_end(self, faces):
        """Return a mask of the rays that hit the front or the back."""
        return (faces >= 3) & (faces < 5) if self.axis == 2 else faces < 2

    def _body_colors(self, faces, points):
        """Shade paint, wheels, license plates and lights."""
        along, up, across = self._local(points)
        width, length, waist = self.shape[:3]
        is_end = self._is_end(faces)
        is_side = ~is_end & (faces != 2)
        parts = (up < 0.28).astype("int32")
        to_axle = np.abs(np.abs(along) - length * 0.31)
        squared_radius = to_axle**2 + (up - 0.34) ** 2
        parts[is_side & (np.abs(along - 0.1) < 0.03) & (up > 0.3)] = 2
        parts[is_side & (squared_radius < 0.37**2)] = 1
        parts[is_side & (squared_radius < 0.2**2)] = 3
        parts[is_end & (np.abs(across) < 0.26) & (np.abs(up - 0.45) < 0.07)] = 4
        lamp = np.abs(np.abs(across) - width * 0.36) < width * 0.1
        lamp &= is_end & (np.abs(up - waist * 0.72) < 0.1)
        parts[lamp] = np.where(along[lamp] > 0, 5, 6)
        gray = np.ones(3, "float32")
        palette = self._palette(
            [
                self.body,
                0.08 * gray,
                0.5 * self.body,
                0.5 * gray,
                0.85 * gray,
                gray,
                gray,
            ]
        )
        intensity = 1.3 if self.has_lamps_on else 0.7
        palette[:, :, 5] = intensity * color(0.13, 0.2, 0.9)[:, None]
        palette[:, :, 6] = intensity * color(0.0, 0.85, 0.7)[:, None]
        shade = 0.8 + 0.3 * np.minimum(1, up / waist)
        return palette[:, faces, parts] * shade

    def _cabin_colors(self, faces, points):
        """Shade windows, roof and pillars."""
        along, up, across = self._local(points)
        width, length, waist, top = self.shape[:4]
        level = (up - waist) / (top - waist)
        is_end = self._is_end(faces)
        pillar = np.where(
            is_end,
            np.abs(across) > width * (0.43 - 0.08 * level),
            np.abs(along + 0.1) % (length * 0.24) < 0.06,
        )
        glass = (faces != 2) & ~pillar & (level > 0.08) & (level < 0.85)
        glass &= is_end | (np.abs(along) < length * 0.4)
        if top > 2.2:
            glass &= (level > 0.4) & (along > -0.05)
        # The upper half of a window reflects the sky.
        reflection = self.glass + 0.4 * self.light.zenith
        palette = self._palette([self.body, self.glass, reflection])
        parts = glass.astype("int32") + (glass & (level > 0.5))
        return palette[:, faces, parts]
