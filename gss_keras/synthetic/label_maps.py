"""Synthetic label maps for training a tokenizer.

They need no photos and no annotated data set. A map consists of regions with
distinct ids instead of colors, so one map can be painted with any palette.
"""

import numpy as np
from PIL import Image, ImageDraw

from gss_keras.synthetic.label_noise import add_void, roughen, smooth_noise

MAX_REGIONS = 250


def draw_label_map(seed, height=256, width=256):
    """Generate a random label map of a street-like or abstract scene.

    Args:
        seed: int or sequence of ints. Random seed; equal seeds give equal
            maps.
        height: int. Height in pixels.
        width: int. Width in pixels.

    Returns:
        uint8 `(height, width)`. Region id of each pixel, in `[0, 250)`; 255
        for unlabeled pixels.

    Example:
    >>> regions = draw_label_map(seed=1, height=64, width=96)
    >>> regions.shape, str(regions.dtype)
    ((64, 96), 'uint8')
    """
    rng = np.random.default_rng(seed)
    canvas = _Canvas(rng, height, width)
    background = rng.choice(
        [_draw_street, _draw_voronoi, _draw_contours, _draw_rectangles],
        p=[0.5, 0.2, 0.15, 0.15],
    )
    background(canvas)
    for draw_shape, max_count in (
        (_draw_tree, 4),
        (_draw_vehicle, 5),
        (_draw_fence, 2),
        (_draw_patch, 5),
        (_draw_person, 9),
        (_draw_cyclist, 6),
        (_draw_sign, 8),
        (_draw_pole, 9),
        (_draw_wire, 2),
    ):
        # The power skews the counts: mostly few shapes of a kind, rarely many.
        for _ in range(round(max_count * rng.uniform() ** 1.5)):
            draw_shape(canvas)
    regions = np.array(canvas.image)
    return add_void(roughen(regions, rng), rng)


class _Canvas:
    """An image of region ids with drawing primitives."""

    def __init__(self, rng, height, width):
        self.rng = rng
        self.height = height
        self.width = width
        self.image = Image.new("L", (width, height))
        self.pen = ImageDraw.Draw(self.image)
        self._count = 0

    def new_region(self):
        """Return an unused id, or the last id once all are used."""
        region = min(self._count, MAX_REGIONS - 1)
        self._count += 1
        return region

    def random_point(self):
        """Draw a uniformly distributed point `(x, y)`."""
        return (
            self.rng.uniform(0, self.width),
            self.rng.uniform(0, self.height),
        )

    def polygon(self, points, region):
        self.pen.polygon([tuple(p) for p in points], fill=region)

    def ellipse(self, x, y, radius_x, radius_y, region):
        box = (x - radius_x, y - radius_y, x + radius_x, y + radius_y)
        self.pen.ellipse(box, fill=region)

    def paste(self, is_inside, region):
        """Assign a region id where a boolean `(height, width)` mask is true."""
        mask = Image.fromarray(is_inside.astype("uint8") * 255)
        self.image.paste(region, mask=mask)

    def log_uniform(self, low, high):
        """Draw a log-uniformly distributed size, usually in pixels."""
        return np.exp(self.rng.uniform(np.log(low), np.log(high)))


def _draw_street(canvas):
    """Draw sky, ground, strips along a road and rows of buildings."""
    rng, width, height = canvas.rng, canvas.width, canvas.height
    horizon = rng.uniform(0.2, 0.7) * height
    vanishing = rng.uniform(0.2, 0.8) * width
    canvas.paste(np.ones((height, width), bool), canvas.new_region())
    canvas.pen.rectangle((0, horizon, width, height), fill=canvas.new_region())
    for side in (-1, 1):
        edges = np.sort(rng.uniform(0.1, 1.5, rng.integers(1, 5)))[::-1]
        for edge in edges:
            strip = canvas.new_region()
            outer = vanishing + side * 4 * width
            inner = vanishing + side * edge * width
            canvas.polygon(
                [(vanishing, horizon), (outer, height), (inner, height)], strip
            )
        for _ in range(rng.integers(0, 5)):
            _draw_building(canvas, vanishing, horizon, side)


def _draw_building(canvas, vanishing, horizon, side):
    """Draw a facade in one-point perspective."""
    rng, width = canvas.rng, canvas.width
    near, far = np.sort(rng.uniform(0.0, 1.0, 2))[::-1]
    top = rng.uniform(0.3, 2.0) * canvas.height
    bottom = rng.uniform(0.0, 0.4) * canvas.height
    near_x, shrink = vanishing + side * near * width, far / near
    points = [
        (near_x, horizon - top * near),
        (near_x, horizon + bottom * near),
        (vanishing + side * far * width, horizon + bottom * near * shrink),
        (vanishing + side * far * width, horizon - top * near * shrink),
    ]
    canvas.polygon(points, canvas.new_region())


def _draw_voronoi(canvas):
    """Draw a Voronoi diagram with wavy edges."""
    rng, width, height = canvas.rng, canvas.width, canvas.height
    count = int(canvas.log_uniform(3, 60))
    points = rng.uniform(0, 1, (count, 2)) * (height, width)
    rows, columns = np.mgrid[:height, :width].astype("float32")
    wavelength = canvas.log_uniform(10, 80)
    rows = rows + 0.1 * wavelength * smooth_noise(
        rng, height, width, wavelength
    )
    stretch = canvas.log_uniform(0.5, 2)
    nearest = np.full((height, width), np.inf, "float32")
    for y, x in points:
        distance = (rows - y) ** 2 + stretch * (columns - x) ** 2
        region = canvas.new_region()
        canvas.paste(distance < nearest, region)
        nearest = np.minimum(nearest, distance)


def _draw_contours(canvas):
    """Draw smooth noise thresholded at several levels."""
    rng, width, height = canvas.rng, canvas.width, canvas.height
    noise = smooth_noise(rng, height, width, canvas.log_uniform(20, 120))
    canvas.paste(np.ones((height, width), bool), canvas.new_region())
    for level in np.sort(rng.normal(size=rng.integers(1, 6))):
        canvas.paste(noise > level, canvas.new_region())


def _draw_rectangles(canvas):
    """Draw overlapping rotated rectangles of all sizes."""
    rng, width, height = canvas.rng, canvas.width, canvas.height
    canvas.paste(np.ones((height, width), bool), canvas.new_region())
    for _ in range(rng.integers(5, 40)):
        x, y = canvas.random_point()
        half = (
            canvas.log_uniform(4, width / 2),
            canvas.log_uniform(4, height / 2),
        )
        angle = rng.choice([0.0, rng.normal(0, 0.1), rng.uniform(0, 3.14)])
        _draw_rectangle(canvas, x, y, *half, angle, canvas.new_region())


def _draw_rectangle(canvas, x, y, half_width, half_height, angle, region):
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], "float32")
    corners *= (half_width, half_height)
    cos, sin = np.cos(angle), np.sin(angle)
    canvas.polygon(corners @ [[cos, sin], [-sin, cos]] + (x, y), region)


def _draw_tree(canvas):
    """Draw a crown with a ragged outline, often on a trunk."""
    rng, width, height = canvas.rng, canvas.width, canvas.height
    x, y = canvas.random_point()
    radius = canvas.log_uniform(8, 90)
    rows, columns = np.mgrid[:height, :width].astype("float32")
    distance = np.hypot(columns - x, (rows - y) * rng.uniform(0.6, 1.5))
    coarse = smooth_noise(rng, height, width, radius / 2)
    fine = smooth_noise(rng, height, width, canvas.log_uniform(1.5, 5))
    ragged = rng.uniform(0, 0.2) * radius * coarse + rng.uniform(0, 3) * fine
    if rng.uniform() < 0.4:
        half = max(1, 0.05 * radius)
        canvas.pen.rectangle(
            (x - half, y, x + half, y + 2 * radius),
            fill=canvas.new_region(),
        )
    canvas.paste(distance + ragged < radius, canvas.new_region())


def _draw_vehicle(canvas):
    """Draw body, roof and wheels of a vehicle as one region."""
    rng = canvas.rng
    x, y = canvas.random_point()
    half_width = canvas.log_uniform(4, 50)
    half_height = half_width * rng.uniform(0.4, 1.2)
    region = canvas.new_region()
    canvas.pen.rounded_rectangle(
        (
            x - half_width,
            y - half_height,
            x + half_width,
            y + half_height,
        ),
        0.3 * half_height,
        fill=region,
    )
    roof = rng.uniform(0.3, 1.0) * half_width
    canvas.polygon(
        [
            (x - half_width, y - half_height * 0.6),
            (x - roof, y - half_height * rng.uniform(1.2, 1.8)),
            (x + roof, y - half_height * rng.uniform(1.2, 1.8)),
            (x + half_width, y - half_height * 0.6),
        ],
        region,
    )
    radius = 0.25 * half_width
    for wheel in (x - 0.6 * half_width, x + 0.6 * half_width):
        canvas.ellipse(wheel, y + half_height, radius, radius, region)


def _draw_body(canvas, x, y, height, region):
    """Draw head, trunk, arms and legs of a person."""
    rng = canvas.rng
    head = 0.09 * height
    canvas.ellipse(x, y - 0.42 * height, head * 0.8, head, region)
    shoulder = rng.uniform(0.1, 0.18) * height
    canvas.ellipse(x, y - 0.15 * height, shoulder, 0.22 * height, region)
    thickness = max(1, round(rng.uniform(0.05, 0.1) * height))
    for side in (-1, 1):
        hand = x + side * rng.uniform(0.05, 0.3) * height
        canvas.pen.line(
            [(x + side * shoulder * 0.7, y - 0.28 * height), (hand, y)],
            fill=region,
            width=thickness,
        )
        foot = x + side * rng.uniform(0.0, 0.2) * height
        canvas.pen.line(
            [(x, y), (foot, y + 0.48 * height)],
            fill=region,
            width=round(1.4 * thickness),
        )


def _draw_person(canvas):
    """Draw a person."""
    x, y = canvas.random_point()
    height = canvas.log_uniform(8, 90)
    _draw_body(canvas, x, y, height, canvas.new_region())


def _draw_cyclist(canvas):
    """Draw a person on two wheels, in side or front view."""
    rng = canvas.rng
    x, y = canvas.random_point()
    height = canvas.log_uniform(10, 90)
    region = canvas.new_region()
    _draw_body(canvas, x, y, height, region)
    radius_y = rng.uniform(0.15, 0.25) * height
    radius_x = radius_y * rng.choice([0.2, rng.uniform(0.2, 1), 1])
    offset = radius_x * rng.uniform(0.5, 1.5)
    for side in (-1, 1):
        box = (
            x + side * offset - radius_x,
            y + 0.5 * height - radius_y,
            x + side * offset + radius_x,
            y + 0.5 * height + radius_y,
        )
        if rng.uniform() < 0.4:
            rim = max(1, round(0.06 * height))
            canvas.pen.ellipse(box, outline=region, width=rim)
        else:
            canvas.pen.ellipse(box, fill=region)


def _draw_sign(canvas):
    """Draw a rectangular or elliptical sign, with or without a pole."""
    rng = canvas.rng
    x, y = canvas.random_point()
    half = canvas.log_uniform(2, 25)
    half_height = half * canvas.log_uniform(0.5, 2)
    if rng.uniform() < 0.5:
        _pole_at(
            canvas,
            x + rng.choice([0, half]),
            y,
            y + canvas.log_uniform(20, 150),
        )
    region = canvas.new_region()
    box = (x - half, y - half_height, x + half, y + half_height)
    shape = rng.integers(3)
    if shape == 0:
        canvas.pen.ellipse(box, fill=region)
    elif shape == 1:
        canvas.pen.rounded_rectangle(box, 0.4 * half, fill=region)
    else:
        _draw_rectangle(
            canvas, x, y, half, half_height, rng.normal(0, 0.1), region
        )


def _draw_pole(canvas):
    """Draw a thin vertical line, sometimes with an arm."""
    rng = canvas.rng
    x, y = canvas.random_point()
    foot = y + canvas.log_uniform(10, 250)
    region, thickness = _pole_at(canvas, x, y, foot)
    if rng.uniform() < 0.25:
        end = (x + rng.normal(0, 25), y + rng.normal(0, 8))
        canvas.pen.line([(x, y), end], fill=region, width=thickness)


def _pole_at(canvas, x, top, foot):
    rng = canvas.rng
    region = canvas.new_region()
    thickness = int(
        rng.choice([1, 2, 3, 4, 5, 7], p=[0.1, 0.3, 0.3, 0.15, 0.1, 0.05])
    )
    lean = rng.normal(0, 0.02) * (foot - top)
    canvas.pen.line([(x, top), (x + lean, foot)], fill=region, width=thickness)
    return region, thickness


def _draw_wire(canvas):
    """Draw a thin sagging line between two random points."""
    rng = canvas.rng
    start, end = (
        np.array(canvas.random_point()),
        np.array(canvas.random_point()),
    )
    sag = np.array([0, rng.uniform(0, 30)])
    steps = np.linspace(0, 1, 9)[:, None]
    points = start + (end - start) * steps + sag * 4 * steps * (1 - steps)
    canvas.pen.line(
        [tuple(p) for p in points],
        fill=canvas.new_region(),
        width=int(rng.integers(1, 5)),
    )


def _draw_fence(canvas):
    """Draw a fence of posts and rails, or a solid one."""
    rng = canvas.rng
    x, y = canvas.random_point()
    length = canvas.log_uniform(20, 200)
    height = canvas.log_uniform(6, 60)
    region = canvas.new_region()
    slope = rng.normal(0, 0.2)
    thickness = int(rng.integers(1, 5))
    spacing = thickness + canvas.log_uniform(3, 16)
    rise = slope * length
    if rng.uniform() < 0.5:
        points = [(0, 0), (length, rise), (length, rise + height), (0, height)]
        canvas.polygon(np.array(points) + (x, y), region)
        return
    for post in np.arange(0, length, spacing):
        top = y + slope * post
        canvas.pen.line(
            [(x + post, top), (x + post, top + height)],
            fill=region,
            width=thickness,
        )
    for rail in (0, height):
        canvas.pen.line(
            [(x, y + rail), (x + length, y + rise + rail)],
            fill=region,
            width=thickness,
        )


def _draw_patch(canvas):
    """Draw an irregular, roughly round polygon."""
    rng = canvas.rng
    x, y = canvas.random_point()
    radius = canvas.log_uniform(1.5, 40)
    angles = np.linspace(0, 2 * np.pi, rng.integers(5, 14), endpoint=False)
    radii = radius * rng.uniform(0.4, 1.3, len(angles))
    points = np.stack([x + radii * np.cos(angles), y + radii * np.sin(angles)])
    canvas.polygon(points.T, canvas.new_region())
