"""Draws label maps: the shapes that a tokenizer learns to write down.

No photo and no annotated data set is involved. A map holds regions, each
with an id of its own; colors play no part, so one map serves every palette.
"""

import numpy as np
from PIL import Image, ImageDraw

from gss_keras.synthetic.label_noise import add_void, roughen, smooth_noise

MAX_REGIONS = 250


def draw_label_map(seed, height=256, width=256):
    """Draw one label map of a street-like or abstract scene.

    Args:
        seed: int or sequence of ints. Equal seeds draw equal maps.
        height: int. Pixels.
        width: int. Pixels.

    Returns:
        uint8 `(height, width)`. Id of the region at each pixel, in
        `[0, 250)`; 255 where nothing is known.

    Example:
    >>> regions = draw_label_map(seed=1, height=64, width=96)
    >>> regions.shape, str(regions.dtype)
    ((64, 96), 'uint8')
    """
    rng = np.random.default_rng(seed)
    canvas = _Canvas(rng, height, width)
    background = rng.choice(
        [_draw_street, _draw_cells, _draw_noise, _draw_boards],
        p=[0.5, 0.2, 0.15, 0.15],
    )
    background(canvas)
    for draw_kind, most in (
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
        # Powers of a uniform number: most maps hold few of a kind, some many.
        for _ in range(round(most * rng.uniform() ** 1.5)):
            draw_kind(canvas)
    regions = np.array(canvas.image)
    return add_void(roughen(regions, rng), rng)


class _Canvas:
    """An image of region ids and the pen to draw on it."""

    def __init__(self, rng, height, width):
        self.rng = rng
        self.height = height
        self.width = width
        self.image = Image.new("L", (width, height))
        self.pen = ImageDraw.Draw(self.image)
        self._count = 0

    def new_region(self):
        """Return a fresh id; the last one again once all are taken."""
        region = min(self._count, MAX_REGIONS - 1)
        self._count += 1
        return region

    def place(self):
        """Return a random point, as x and y."""
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
        """Fill where a boolean `(height, width)` array is true."""
        mask = Image.fromarray(is_inside.astype("uint8") * 255)
        self.image.paste(region, mask=mask)

    def size(self, low, high):
        """Return a size in pixels, small ones as frequent as large ones."""
        return np.exp(self.rng.uniform(np.log(low), np.log(high)))


def _draw_street(canvas):
    """Draw sky, ground, strips beside it and a skyline of buildings."""
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
    """Draw a wall that gets smaller toward the vanishing point."""
    rng, width = canvas.rng, canvas.width
    near, far = np.sort(rng.uniform(0.0, 1.0, 2))[::-1]
    tall = rng.uniform(0.3, 2.0) * canvas.height
    foot = rng.uniform(0.0, 0.4) * canvas.height
    left, right = (vanishing + side * near * width, horizon), far / near
    points = [
        (left[0], horizon - tall * near),
        (left[0], horizon + foot * near),
        (vanishing + side * far * width, horizon + foot * near * right),
        (vanishing + side * far * width, horizon - tall * near * right),
    ]
    canvas.polygon(points, canvas.new_region())


def _draw_cells(canvas):
    """Divide the map among random points, each pixel to the nearest."""
    rng, width, height = canvas.rng, canvas.width, canvas.height
    count = int(canvas.size(3, 60))
    points = rng.uniform(0, 1, (count, 2)) * (height, width)
    rows, columns = np.mgrid[:height, :width].astype("float32")
    wave = canvas.size(10, 80)
    rows = rows + 0.1 * wave * smooth_noise(rng, height, width, wave)
    stretch = canvas.size(0.5, 2)
    best = np.full((height, width), np.inf, "float32")
    for y, x in points:
        distance = (rows - y) ** 2 + stretch * (columns - x) ** 2
        region = canvas.new_region()
        canvas.paste(distance < best, region)
        best = np.minimum(best, distance)


def _draw_noise(canvas):
    """Cut smooth noise into levels, like contour lines."""
    rng, width, height = canvas.rng, canvas.width, canvas.height
    noise = smooth_noise(rng, height, width, canvas.size(20, 120))
    canvas.paste(np.ones((height, width), bool), canvas.new_region())
    for level in np.sort(rng.normal(size=rng.integers(1, 6))):
        canvas.paste(noise > level, canvas.new_region())


def _draw_boards(canvas):
    """Lay tilted rectangles of all sizes over one another."""
    rng, width, height = canvas.rng, canvas.width, canvas.height
    canvas.paste(np.ones((height, width), bool), canvas.new_region())
    for _ in range(rng.integers(5, 40)):
        x, y = canvas.place()
        half = canvas.size(4, width / 2), canvas.size(4, height / 2)
        angle = rng.choice([0.0, rng.normal(0, 0.1), rng.uniform(0, 3.14)])
        _draw_box(canvas, x, y, *half, angle, canvas.new_region())


def _draw_box(canvas, x, y, half_width, half_height, angle, region):
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], "float32")
    corners *= (half_width, half_height)
    cos, sin = np.cos(angle), np.sin(angle)
    canvas.polygon(corners @ [[cos, sin], [-sin, cos]] + (x, y), region)


def _draw_tree(canvas):
    """Draw a crown with a torn outline, often on a trunk."""
    rng, width, height = canvas.rng, canvas.width, canvas.height
    x, y = canvas.place()
    radius = canvas.size(8, 90)
    rows, columns = np.mgrid[:height, :width].astype("float32")
    distance = np.hypot(columns - x, (rows - y) * rng.uniform(0.6, 1.5))
    coarse = smooth_noise(rng, height, width, radius / 2)
    fine = smooth_noise(rng, height, width, canvas.size(1.5, 5))
    torn = rng.uniform(0, 0.2) * radius * coarse + rng.uniform(0, 3) * fine
    if rng.uniform() < 0.4:
        half = max(1, 0.05 * radius)
        canvas.pen.rectangle(
            (x - half, y, x + half, y + 2 * radius),
            fill=canvas.new_region(),
        )
    canvas.paste(distance + torn < radius, canvas.new_region())


def _draw_vehicle(canvas):
    """Draw a body, a roof and wheels, in one region."""
    rng = canvas.rng
    x, y = canvas.place()
    half = canvas.size(4, 50)
    tall = half * rng.uniform(0.4, 1.2)
    region = canvas.new_region()
    round_corner = 0.3 * tall
    canvas.pen.rounded_rectangle(
        (x - half, y - tall, x + half, y + tall), round_corner, fill=region
    )
    slant = rng.uniform(0.3, 1.0) * half
    canvas.polygon(
        [
            (x - half, y - tall * 0.6),
            (x - slant, y - tall * rng.uniform(1.2, 1.8)),
            (x + slant, y - tall * rng.uniform(1.2, 1.8)),
            (x + half, y - tall * 0.6),
        ],
        region,
    )
    wheel = 0.25 * half
    for place in (x - 0.6 * half, x + 0.6 * half):
        canvas.ellipse(place, y + tall, wheel, wheel, region)


def _draw_body(canvas, x, y, tall, region):
    """Draw head, trunk, arms and legs of a person of a height."""
    rng = canvas.rng
    head = 0.09 * tall
    canvas.ellipse(x, y - 0.42 * tall, head * 0.8, head, region)
    shoulder = rng.uniform(0.1, 0.18) * tall
    canvas.ellipse(x, y - 0.15 * tall, shoulder, 0.22 * tall, region)
    thick = max(1, round(rng.uniform(0.05, 0.1) * tall))
    for side in (-1, 1):
        hand = x + side * rng.uniform(0.05, 0.3) * tall
        canvas.pen.line(
            [(x + side * shoulder * 0.7, y - 0.28 * tall), (hand, y)],
            fill=region,
            width=thick,
        )
        foot = x + side * rng.uniform(0.0, 0.2) * tall
        canvas.pen.line(
            [(x, y), (foot, y + 0.48 * tall)],
            fill=region,
            width=round(1.4 * thick),
        )


def _draw_person(canvas):
    """Draw one person or a few side by side."""
    x, y = canvas.place()
    tall = canvas.size(8, 90)
    _draw_body(canvas, x, y, tall, canvas.new_region())


def _draw_cyclist(canvas):
    """Draw a person on two wheels, seen from the side or the front."""
    rng = canvas.rng
    x, y = canvas.place()
    tall = canvas.size(10, 90)
    region = canvas.new_region()
    _draw_body(canvas, x, y, tall, region)
    wheel = rng.uniform(0.15, 0.25) * tall
    narrow = wheel * rng.choice([0.2, rng.uniform(0.2, 1), 1])
    apart = narrow * rng.uniform(0.5, 1.5)
    for side in (-1, 1):
        box = (
            x + side * apart - narrow,
            y + 0.5 * tall - wheel,
            x + side * apart + narrow,
            y + 0.5 * tall + wheel,
        )
        if rng.uniform() < 0.4:
            rim = max(1, round(0.06 * tall))
            canvas.pen.ellipse(box, outline=region, width=rim)
        else:
            canvas.pen.ellipse(box, fill=region)


def _draw_sign(canvas):
    """Draw a board or a disc, alone or on its pole."""
    rng = canvas.rng
    x, y = canvas.place()
    half = canvas.size(2, 25)
    tall = half * canvas.size(0.5, 2)
    if rng.uniform() < 0.5:
        _pole_at(canvas, x + rng.choice([0, half]), y, y + canvas.size(20, 150))
    region = canvas.new_region()
    box = (x - half, y - tall, x + half, y + tall)
    shape = rng.integers(3)
    if shape == 0:
        canvas.pen.ellipse(box, fill=region)
    elif shape == 1:
        canvas.pen.rounded_rectangle(box, 0.4 * half, fill=region)
    else:
        _draw_box(canvas, x, y, half, tall, rng.normal(0, 0.1), region)


def _draw_pole(canvas):
    """Draw a thin upright stroke, at times with an arm."""
    rng = canvas.rng
    x, y = canvas.place()
    foot = y + canvas.size(10, 250)
    region, thick = _pole_at(canvas, x, y, foot)
    if rng.uniform() < 0.25:
        end = (x + rng.normal(0, 25), y + rng.normal(0, 8))
        canvas.pen.line([(x, y), end], fill=region, width=thick)


def _pole_at(canvas, x, top, foot):
    rng = canvas.rng
    region = canvas.new_region()
    thick = int(
        rng.choice([1, 2, 3, 4, 5, 7], p=[0.1, 0.3, 0.3, 0.15, 0.1, 0.05])
    )
    lean = rng.normal(0, 0.02) * (foot - top)
    canvas.pen.line([(x, top), (x + lean, foot)], fill=region, width=thick)
    return region, thick


def _draw_wire(canvas):
    """Draw a thin stroke in any direction."""
    rng = canvas.rng
    start, end = np.array(canvas.place()), np.array(canvas.place())
    sag = np.array([0, rng.uniform(0, 30)])
    steps = np.linspace(0, 1, 9)[:, None]
    points = start + (end - start) * steps + sag * 4 * steps * (1 - steps)
    canvas.pen.line(
        [tuple(p) for p in points],
        fill=canvas.new_region(),
        width=int(rng.integers(1, 5)),
    )


def _draw_fence(canvas):
    """Draw bars and rails, or a closed band."""
    rng = canvas.rng
    x, y = canvas.place()
    long, tall = canvas.size(20, 200), canvas.size(6, 60)
    region = canvas.new_region()
    slope = rng.normal(0, 0.2)
    thick = int(rng.integers(1, 5))
    gap = thick + canvas.size(3, 16)
    if rng.uniform() < 0.5:
        points = [(0, 0), (long, slope * long), (long, slope * long + tall)]
        canvas.polygon(np.array([*points, (0, tall)]) + (x, y), region)
        return
    for along in np.arange(0, long, gap):
        top = y + slope * along
        canvas.pen.line(
            [(x + along, top), (x + along, top + tall)],
            fill=region,
            width=thick,
        )
    for height in (0, tall):
        canvas.pen.line(
            [(x, y + height), (x + long, y + slope * long + height)],
            fill=region,
            width=thick,
        )


def _draw_patch(canvas):
    """Draw a blob of any size."""
    rng = canvas.rng
    x, y = canvas.place()
    radius = canvas.size(1.5, 40)
    angles = np.linspace(0, 2 * np.pi, rng.integers(5, 14), endpoint=False)
    reach = radius * rng.uniform(0.4, 1.3, len(angles))
    points = np.stack([x + reach * np.cos(angles), y + reach * np.sin(angles)])
    canvas.polygon(points.T, canvas.new_region())
