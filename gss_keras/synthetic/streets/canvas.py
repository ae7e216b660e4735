"""Ray casting with a depth buffer."""

import enum
import math

import numpy as np

# 2 x 2 supersampling per pixel.
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
    """A pinhole camera.

    World coordinates are in meters: x points right across the street, y up, z
    along the street. The camera is at `(x, height, 0)`.

    Args:
        x: Position across the street.
        height: Height above the ground.
        yaw: Rotation to the right of the street's direction, in radians.
        roll: Rotation around the optical axis, in radians.
        horizon: Row of the horizon as a fraction of the photo's height.
        focal: Focal length as a fraction of the photo's width.
    """

    def __init__(self, x, height, yaw, roll, horizon, focal):
        self.position = np.array([x, height, 0.0])
        self.yaw = yaw
        self.roll = roll
        self.horizon = horizon
        self.focal = focal

    def to_view(self, x, z):
        """Convert ground coordinates to lateral offset and depth."""
        x, z = x - float(self.position[0]), z - float(self.position[2])
        cosine, sine = math.cos(self.yaw), math.sin(self.yaw)
        return x * cosine - z * sine, x * sine + z * cosine

    def to_world(self, lateral, depth):
        """Convert lateral offset and depth to ground coordinates `(x, z)`."""
        cosine, sine = math.cos(self.yaw), math.sin(self.yaw)
        x = self.position[0] + lateral * cosine + depth * sine
        return x, self.position[2] - lateral * sine + depth * cosine


class Canvas:
    """A color, class and depth buffer with one entry per ray.

    Objects may be rendered in any order; each overwrites the rays that hit it
    before anything rendered earlier. The buffer stores inverse depth, because
    the inverse depth of a plane is linear in the ray direction: it needs no
    division, and it is 0 at infinity.

    Args:
        camera: A `Camera`.
        height: Height of the photo in pixels.
        width: Width of the photo in pixels.

    Attributes:
        colors: Float array `(3, rows, columns)`, linear RGB, 0 to about 1.
        kinds: uint8 array `(rows, columns)`, the `Kind` of each ray, 255 for
            rays that have hit no object.
        inverse_depth: Float array `(rows, columns)` in 1 / meters along the
            optical axis, initialized with the ground plane, 0 in the sky.
        right: Float array `(rows, columns)`, slope of each ray to the right.
        down: Float array `(rows, columns)`, slope of each ray downwards.
        rays: Three float arrays `(rows, columns)`: ray directions in world
            coordinates, scaled to a depth of one meter.
    """

    def __init__(self, camera, height, width):
        self.camera = camera
        rows, columns = height * _RAYS, width * _RAYS
        self.focal = camera.focal * columns
        cosine, sine = math.cos(camera.roll), math.sin(camera.roll)
        self._rotation = cosine, sine
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
        self.inverse_depth = np.where(self.down > 0, ground, np.float32(0))

    def paint_solid(self, kind, faces, corners, paint):
        """Render a convex polyhedron.

        Args:
            kind: Its `Kind`.
            faces: Sequence of half-spaces `(normal, distance)`: points with
                `normal . point <= distance` for every face are inside.
            corners: Array `(corners, 3)` of points whose convex hull contains
                the polyhedron.
            paint: Shader, called with the face indices, `(rays,)`, and the
                hit points, `(3, rays)`; returns colors `(3, rays)`.
        """
        window = self._project_world(corners)
        if window is None:
            return
        # Clip each ray to the half-spaces, from its entry (the largest inverse
        # depth) to its exit or to the object in the buffer.
        lower = self.inverse_depth[window].copy()
        upper = np.full(lower.shape, 1 / _NEAREST, "float32")
        face_ids = np.zeros(lower.shape, "int8")
        for index, (normal, distance) in enumerate(faces):
            gap = distance - float(normal @ self.camera.position)
            gap = gap if abs(gap) > 1e-6 else 1e-6
            at = self._plane_inverse_depth(normal / gap, window)
            if gap < 0:
                # Rays can only enter through faces toward the camera.
                face_ids[at < upper] = index
                np.minimum(upper, at, out=upper)
            else:
                np.maximum(lower, at, out=lower)
        hits = np.nonzero(lower < upper)
        if not hits[0].size:
            return
        inverse_depth = upper[hits]
        depth = 1 / inverse_depth
        points = [
            float(origin) + depth * axis[window][hits]
            for origin, axis in zip(
                self.camera.position, self.rays, strict=True
            )
        ]
        colors = paint(face_ids[hits], points)
        self._write(kind, window, hits, colors, inverse_depth)

    def paint_upright(self, kind, x, z, width, height, shape, paint):
        """Render an upright billboard, a flat shape that faces the camera.

        Args:
            kind: Its `Kind`.
            x: Position across the street.
            z: Position along the street.
            width: Total width in meters.
            height: Height of its top in meters.
            shape: Called with horizontal offsets from the center and heights,
                float arrays `(rows, columns)` in meters; returns an int array
                of part ids, 0 for no hit.
            paint: Shader, called with part ids, offsets and heights of the
                rays that hit, arrays `(rays,)`; returns colors `(3, rays)`.
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
        window = self._project_view(np.array(corners))
        if window is None:
            return
        offsets = self.right[window] * depth - lateral
        heights = eye - self.down[window] * depth
        parts = shape(offsets, heights)
        is_nearest = self.inverse_depth[window] < 1 / depth
        hits = np.nonzero((parts > 0) & is_nearest)
        if not hits[0].size:
            return
        colors = paint(parts[hits], offsets[hits], heights[hits])
        self._write(kind, window, hits, colors, 1 / depth)

    def pixel_size(self, x, z):
        """Return the size in meters of a pixel at ground coordinates."""
        return max(1.0, self.camera.to_view(x, z)[1]) * _RAYS / self.focal

    def downsample(self):
        """Average rays to pixels and take the class of the first ray of each.

        Returns:
            A pair: colors `(height, width, 3)` and classes `(height, width)`.
        """
        rows, columns = self.kinds.shape
        blocks = self.colors.reshape(
            3, rows // _RAYS, _RAYS, columns // _RAYS, _RAYS
        )
        colors = blocks.sum((2, 4)).transpose(1, 2, 0) / _RAYS**2
        return colors, self.kinds[::_RAYS, ::_RAYS]

    def _write(self, kind, window, hits, colors, inverse_depth):
        """Write class, colors and inverse depth of the rays that hit."""
        for channel, values in zip(self.colors, colors, strict=True):
            channel[window][hits] = values
        self.kinds[window][hits] = kind
        self.inverse_depth[window][hits] = inverse_depth

    def _plane_inverse_depth(self, weights, window):
        """Return the inverse depth at which rays intersect a plane."""
        return sum(
            float(weight) * axis[window]
            for weight, axis in zip(weights, self.rays, strict=True)
            if weight
        )

    def _project_world(self, corners):
        """Return the bounding box of world points as slices, or None."""
        lateral, depth = self.camera.to_view(corners[:, 0], corners[:, 2])
        above = corners[:, 1] - self.camera.position[1]
        if depth.max() < _NEAREST:
            return None
        return self._project_view(np.stack([lateral, above, depth], 1))

    def _project_view(self, corners):
        """Return the bounding box of view points as slices.

        None if it is outside the photo or fully occluded.
        """
        rows, columns = self.kinds.shape
        nearest = corners[:, 2].min()
        top, bottom, left, right = 0, rows, 0, columns
        # Points behind the camera have no projection: use the whole photo.
        if nearest > _NEAREST:
            scaled = corners[:, :2] / corners[:, 2:] * self.focal
            across, along = scaled[:, 0], self._middle - scaled[:, 1]
            cosine, sine = self._rotation
            column = across * cosine - along * sine + columns / 2
            row = across * sine + along * cosine + rows / 2
            top = max(int(row.min()) - 1, 0)
            bottom = min(int(row.max()) + 2, rows)
            left = max(int(column.min()) - 1, 0)
            right = min(int(column.max()) + 2, columns)
        if top >= bottom or left >= right:
            return None
        window = slice(top, bottom), slice(left, right)
        if nearest > 0 and self.inverse_depth[window].min() >= 1 / nearest:
            return None
        return window


def box(low, high):
    """Return faces and corners of an axis-aligned box.

    Faces 0 and 1 are at low and high x, 2 is the top, 3 and 4 are at low and
    high z, 5 is the bottom.

    Args:
        low: `(x, y, z)` of the corner with the smallest coordinates.
        high: `(x, y, z)` of the opposite corner.

    Returns:
        A pair: six half-spaces `(normal, distance)` and the corners, an array
        `(8, 3)`; the arguments of `Canvas.paint_solid`.
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
