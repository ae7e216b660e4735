"""Cast one ray per pixel at the things of a scene."""

import enum

import numpy as np

# Every photo pixel is the mean of 2 x 2 rays.
_RAYS = 2
_NEAREST = 0.3


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
        x, z = x - self.position[0], z - self.position[2]
        cosine, sine = np.cos(self.yaw), np.sin(self.yaw)
        return x * cosine - z * sine, x * sine + z * cosine

    def to_world(self, lateral, depth):
        """Return `(x, z)` on the map of an offset and depth in the view."""
        cosine, sine = np.cos(self.yaw), np.sin(self.yaw)
        x = self.position[0] + lateral * cosine + depth * sine
        return x, self.position[2] - lateral * sine + depth * cosine


class Canvas:
    """Holds for every ray the nearest thing it met: color, class, depth.

    Things may be painted in any order: each takes the rays which it meets
    nearer than what was there before.

    Args:
        camera: A `Camera`.
        height: Height of the photo in pixels.
        width: Width of the photo in pixels.

    Attributes:
        colors: Float array `(rows, columns, 3)`, light from 0 to about 1.
        kinds: uint8 array `(rows, columns)`, a `Kind` for each ray.
        depths: Float array `(rows, columns)`, meters along the view.
    """

    def __init__(self, camera, height, width):
        self.camera = camera
        rows, columns = height * _RAYS, width * _RAYS
        self.focal = camera.focal * columns
        cosine, sine = np.cos(camera.roll), np.sin(camera.roll)
        right = (np.arange(columns, dtype="float32") - columns / 2 + 0.5)[None]
        down = (np.arange(rows, dtype="float32") - rows / 2 + 0.5)[:, None]
        middle = (camera.horizon - 0.5) * rows
        self._turn = cosine, sine
        self._middle = middle
        self.right = ((right * cosine + down * sine) / self.focal).astype("f4")
        self.down = (
            (down * cosine - right * sine - middle) / self.focal
        ).astype("f4")
        yaw_cosine, yaw_sine = np.cos(camera.yaw), np.sin(camera.yaw)
        self.rays = [
            _never_zero((self.right * yaw_cosine + yaw_sine).astype("f4")),
            _never_zero(-self.down),
            _never_zero((yaw_cosine - self.right * yaw_sine).astype("f4")),
        ]
        self._inverse_rays = [1 / axis for axis in self.rays]
        self.colors = np.zeros((rows, columns, 3), "float32")
        self.kinds = np.zeros((rows, columns), "uint8")
        self.depths = np.full((rows, columns), np.inf, "float32")

    def paint_solid(self, kind, faces, corners, paint):
        """Paint a convex solid.

        Args:
            kind: Its `Kind`.
            faces: Sequence of `(normal, distance)`: points with
                `normal . point <= distance` for every face are inside.
            corners: Array `(corners, 3)` of points which enclose the solid.
            paint: Called with the numbers of the faces met and the points
                met, arrays `(rays,)` and `(3, rays)`; returns colors
                `(rays, 3)`.
        """
        window = self._window_around(corners)
        if window is None:
            return
        near = np.full(self.kinds[window].shape, _NEAREST, "float32")
        far = self.depths[window].copy()
        met = np.full(near.shape, -1, "int8")
        for number, (normal, distance) in enumerate(faces):
            gap = np.float32(distance - normal @ self.camera.position)
            at = gap * self._inverse_speed(normal, window)
            if gap < 0:
                # Only through this face can a ray from outside come in.
                met[at > near] = number
                far[at <= 0] = 0
                np.maximum(near, at, out=near)
            else:
                at[at <= 0] = np.inf
                np.minimum(far, at, out=far)
        hits = np.nonzero((near < far) & (met >= 0))
        if not hits[0].size:
            return
        depth = near[hits]
        points = np.stack(
            [
                np.float32(origin) + depth * axis[window][hits]
                for origin, axis in zip(
                    self.camera.position, self.rays, strict=True
                )
            ]
        )
        self.colors[window][hits] = paint(met[hits], points)
        self.kinds[window][hits] = kind
        self.depths[window][hits] = depth

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
                something, arrays `(rays,)`; returns colors `(rays, 3)`.
        """
        lateral, depth = self.camera.to_view(x, z)
        if depth < 1.0:
            return
        eye = self.camera.position[1]
        corners = [
            (lateral + side * width / 2, top - eye, depth)
            for side in (-1, 1)
            for top in (0.0, height)
        ]
        window = self._window_of(np.array(corners))
        if window is None:
            return
        offsets = self.right[window] * np.float32(depth) - np.float32(lateral)
        heights = np.float32(eye) - self.down[window] * np.float32(depth)
        parts = shape(offsets, heights)
        hits = np.nonzero((parts > 0) & (self.depths[window] > depth))
        if not hits[0].size:
            return
        colors = paint(parts[hits], offsets[hits], heights[hits])
        self.colors[window][hits] = colors
        self.kinds[window][hits] = kind
        self.depths[window][hits] = depth

    def distance_to(self, x, z):
        """Return the depth of a spot on the map in the view."""
        return self.camera.to_view(x, z)[1]

    def pixel_size(self, x, z):
        """Return how many meters a photo pixel spans at a spot on the map."""
        depth = max(1.0, self.camera.to_view(x, z)[1])
        return depth * _RAYS / self.focal

    def develop(self):
        """Return colors `(height, width, 3)` and classes `(height, width)`."""
        rows, columns = self.kinds.shape
        blocks = self.colors.reshape(
            rows // _RAYS, _RAYS, columns // _RAYS, _RAYS, 3
        )
        return blocks.mean((1, 3)), self.kinds[::_RAYS, ::_RAYS]

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
        if corners[:, 2].min() < _NEAREST:
            # Points behind the camera project nowhere: look everywhere.
            return self._unless_hidden(
                slice(0, rows), slice(0, columns), _NEAREST
            )
        right = corners[:, 0] / corners[:, 2] * self.focal
        down = -corners[:, 1] / corners[:, 2] * self.focal + self._middle
        cosine, sine = self._turn
        column = right * cosine - down * sine + columns / 2
        row = right * sine + down * cosine + rows / 2
        top, bottom = int(row.min()) - 1, int(row.max()) + 2
        left, right = int(column.min()) - 1, int(column.max()) + 2
        top, left = max(top, 0), max(left, 0)
        bottom, right = min(bottom, rows), min(right, columns)
        if top >= bottom or left >= right:
            return None
        return self._unless_hidden(
            slice(top, bottom), slice(left, right), corners[:, 2].min()
        )

    def _unless_hidden(self, rows, columns, depth):
        """Return slices, or None if all that they show is nearer."""
        if self.depths[rows, columns].max() <= depth:
            return None
        return rows, columns

    def _inverse_speed(self, normal, window):
        """Return 1 / (normal . ray) for the rays of a window."""
        axes = np.flatnonzero(normal)
        if len(axes) == 1:
            return self._inverse_rays[axes[0]][window] / np.float32(
                normal[axes[0]]
            )
        speed = sum(
            np.float32(normal[axis]) * self.rays[axis][window] for axis in axes
        )
        return 1 / _never_zero(speed)


def _never_zero(speeds):
    """Move zeros a little, so that a division has a result."""
    return np.where(np.abs(speeds) < 1e-6, np.float32(1e-6), speeds)


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
