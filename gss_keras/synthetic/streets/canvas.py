"""Cast one ray per pixel at the things of a scene."""

import enum
import math

import numpy as np

# Every photo pixel is the mean of 2 x 2 rays.
_RAYS = 2
_NEAREST = 0.3
FARTHEST = 400.0
NOTHING = 255


class Kind(enum.IntEnum):
    """The classes of a street scene, in the order of their ids."""

    SKY = 0
    BUILDING = 1
    ROAD = 2
    PAVEMENT = 3
    TREE = 4
    POLE = 5
    SIGN = 6
    CAR = 7
    PEDESTRIAN = 8


class Camera:
    """Where the photo is taken from and which way the camera looks.

    World axes in meters: x to the right across the street, y up, z along the
    street. The camera stands at `(x, height, 0)`.

    Args:
        x: Position across the street.
        height: Height above the ground.
        yaw: Angle to the right of the street's direction, in radians.
        roll: Angle of the horizon, in radians.
        horizon: Row of the horizon as a share of the photo's height.
        focal: Focal length as a share of the photo's width.
    """

    def __init__(self, x, height, yaw, roll, horizon, focal):
        self.position = np.array([x, height, 0.0])
        self.yaw = yaw
        self.roll = roll
        self.horizon = horizon
        self.focal = focal

    def to_view(self, x, z):
        """Return lateral offset and depth in the view of a spot on the map."""
        x, z = x - float(self.position[0]), z - float(self.position[2])
        cosine, sine = math.cos(self.yaw), math.sin(self.yaw)
        return x * cosine - z * sine, x * sine + z * cosine

    def to_world(self, lateral, depth):
        """Return `(x, z)` on the map of an offset and depth in the view."""
        cosine, sine = math.cos(self.yaw), math.sin(self.yaw)
        x = self.position[0] + lateral * cosine + depth * sine
        return x, self.position[2] - lateral * sine + depth * cosine


class Canvas:
    """Holds for every ray the nearest thing it met: color, class, closeness.

    Things may be painted in any order: each takes the rays which it meets
    nearer than what was there before. Closeness is one by depth, since a
    plane's closeness is linear in the ray: no division, and 0 far away.

    Args:
        camera: A `Camera`.
        height: Height of the photo in pixels.
        width: Width of the photo in pixels.

    Attributes:
        colors: Float array `(3, rows, columns)`, light from 0 to about 1.
        kinds: uint8 array `(rows, columns)`, a `Kind` for each ray, 255 where
            nothing but ground and sky was met.
        closeness: Float array `(rows, columns)`, 1 / meters along the view;
            at first that of the ground, and 0 in the sky.
        right: Float array `(rows, columns)`, slope of a ray to the right.
        down: Float array `(rows, columns)`, slope of a ray downwards.
        rays: Three float arrays `(rows, columns)`: how far along each axis of
            the world a ray gets while it gets one meter deep into the view.
    """

    def __init__(self, camera, height, width):
        self.camera = camera
        rows, columns = height * _RAYS, width * _RAYS
        self.focal = camera.focal * columns
        cosine, sine = math.cos(camera.roll), math.sin(camera.roll)
        self._turn = cosine, sine
        self._middle = (camera.horizon - 0.5) * rows
        right = (np.arange(columns, dtype="float32") - columns / 2 + 0.5)[None]
        down = (np.arange(rows, dtype="float32") - rows / 2 + 0.5)[:, None]
        self.right = (right * cosine + down * sine) / self.focal
        self.down = (down * cosine - right * sine - self._middle) / self.focal
        cosine, sine = math.cos(camera.yaw), math.sin(camera.yaw)
        self.rays = (
            self.right * cosine + sine,
            -self.down,
            cosine - self.right * sine,
        )
        self.colors = np.zeros((3, rows, columns), "float32")
        self.kinds = np.full((rows, columns), NOTHING, "uint8")
        ground = np.maximum(self.down / camera.position[1], 1 / FARTHEST)
        self.closeness = np.where(self.down > 0, ground, np.float32(0))

    def paint_solid(self, kind, faces, corners, paint):
        """Paint a convex solid.

        Args:
            kind: Its `Kind`.
            faces: Sequence of `(normal, distance)`: points with
                `normal . point <= distance` for every face are inside.
            corners: Array `(corners, 3)` of points which enclose the solid.
            paint: Called with the numbers of the faces met and the points
                met, arrays `(rays,)` and `(3, rays)`; returns colors
                `(3, rays)`.
        """
        window = self._window_around(corners)
        if window is None:
            return
        least = self.closeness[window].copy()
        most = np.full(least.shape, 1 / _NEAREST, "float32")
        met = np.zeros(least.shape, "int8")
        for number, (normal, distance) in enumerate(faces):
            gap = distance - float(normal @ self.camera.position)
            gap = gap if abs(gap) > 1e-6 else 1e-6
            at = self._along(normal / gap, window)
            if gap < 0:
                # Only through this face can a ray from outside come in.
                met[at < most] = number
                np.minimum(most, at, out=most)
            else:
                np.maximum(least, at, out=least)
        hits = np.nonzero(least < most)
        if not hits[0].size:
            return
        closeness = most[hits]
        depth = 1 / closeness
        points = [
            float(origin) + depth * axis[window][hits]
            for origin, axis in zip(
                self.camera.position, self.rays, strict=True
            )
        ]
        self._put(kind, window, hits, paint(met[hits], points), closeness)

    def paint_upright(self, kind, x, z, width, height, shape, paint):
        """Paint a flat thing that stands upright and faces the camera.

        Args:
            kind: Its `Kind`.
            x: Where it stands across the street.
            z: Where it stands along the street.
            width: Largest extent to the sides in meters, all in all.
            height: Height of its top in meters.
            shape: Called with offsets to the right of its middle and heights,
                float arrays `(rows, columns)` in meters; returns the number
                of the part which each ray meets, 0 for none, as an int array.
            paint: Called with parts, offsets and heights of the rays that met
                something, arrays `(rays,)`; returns colors `(3, rays)`.
        """
        lateral, depth = self.camera.to_view(x, z)
        eye = float(self.camera.position[1])
        if depth < 1.0:
            return
        corners = [
            (lateral + side * width / 2, top - eye, depth)
            for side in (-1, 1)
            for top in (0.0, height)
        ]
        window = self._window_of(np.array(corners))
        if window is None:
            return
        offsets = self.right[window] * depth - lateral
        heights = eye - self.down[window] * depth
        parts = shape(offsets, heights)
        hits = np.nonzero((parts > 0) & (self.closeness[window] < 1 / depth))
        if not hits[0].size:
            return
        colors = paint(parts[hits], offsets[hits], heights[hits])
        self._put(kind, window, hits, colors, 1 / depth)

    def pixel_size(self, x, z):
        """Return how many meters a photo pixel spans at a spot on the map."""
        return max(1.0, self.camera.to_view(x, z)[1]) * _RAYS / self.focal

    def develop(self):
        """Return colors `(height, width, 3)` and classes `(height, width)`."""
        rows, columns = self.kinds.shape
        blocks = self.colors.reshape(
            3, rows // _RAYS, _RAYS, columns // _RAYS, _RAYS
        )
        colors = blocks.sum((2, 4)).transpose(1, 2, 0) / _RAYS**2
        return colors, self.kinds[::_RAYS, ::_RAYS]

    def _put(self, kind, window, hits, colors, closeness):
        """Give rays of a window a class, colors and a closeness."""
        for plane, values in zip(self.colors, colors, strict=True):
            plane[window][hits] = values
        self.kinds[window][hits] = kind
        self.closeness[window][hits] = closeness

    def _along(self, weights, window):
        """Return the closeness at which the rays of a window meet a plane."""
        return sum(
            float(weight) * axis[window]
            for weight, axis in zip(weights, self.rays, strict=True)
            if weight
        )

    def _window_around(self, corners):
        """Return slices which hold points of the world, or None."""
        lateral, depth = self.camera.to_view(corners[:, 0], corners[:, 2])
        above = corners[:, 1] - self.camera.position[1]
        if depth.max() < _NEAREST:
            return None
        return self._window_of(np.stack([lateral, above, depth], 1))

    def _window_of(self, corners):
        """Return slices which hold points of the view, or None."""
        rows, columns = self.kinds.shape
        nearest = corners[:, 2].min()
        top, bottom, left, right = 0, rows, 0, columns
        # Points behind the camera project nowhere: then look everywhere.
        if nearest > _NEAREST:
            scaled = corners[:, :2] / corners[:, 2:] * self.focal
            across, along = scaled[:, 0], self._middle - scaled[:, 1]
            cosine, sine = self._turn
            column = across * cosine - along * sine + columns / 2
            row = across * sine + along * cosine + rows / 2
            top = max(int(row.min()) - 1, 0)
            bottom = min(int(row.max()) + 2, rows)
            left = max(int(column.min()) - 1, 0)
            right = min(int(column.max()) + 2, columns)
        if top >= bottom or left >= right:
            return None
        window = slice(top, bottom), slice(left, right)
        if nearest > 0 and self.closeness[window].min() >= 1 / nearest:
            return None
        return window


def box(low, high):
    """Return faces and corners of a box between two points.

    The faces are numbered: 0 and 1 to low and high x, 2 the top, 3 and 4 to
    low and high z, 5 the bottom.
    """
    axes = ((0, -1), (0, 1), (1, 1), (2, -1), (2, 1), (1, -1))
    faces = []
    for axis, sign in axes:
        normal = np.zeros(3)
        normal[axis] = sign
        faces.append((normal, sign * (high if sign > 0 else low)[axis]))
    corners = np.array(
        [
            (x, y, z)
            for x in (low[0], high[0])
            for y in (low[1], high[1])
            for z in (low[2], high[2])
        ]
    )
    return faces, corners
