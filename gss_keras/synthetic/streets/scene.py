"""Sample a random street scene and render it."""

import numpy as np

from gss_keras.synthetic.streets.buildings import Building
from gss_keras.synthetic.streets.canvas import Camera, Canvas, Kind
from gss_keras.synthetic.streets.cars import Car
from gss_keras.synthetic.streets.furniture import Pole, Sign
from gss_keras.synthetic.streets.ground import Ground, Plan, Shadows
from gss_keras.synthetic.streets.light import draw_light
from gss_keras.synthetic.streets.people import Pedestrian
from gss_keras.synthetic.streets.sky import add_haze, paint_sky
from gss_keras.synthetic.streets.trees import Tree

_STREET_LENGTH = 90.0


def draw_scene(generator, size=(128, 192)):
    """Sample and render a random street scene.

    Args:
        generator: `numpy.random.Generator`; the only source of randomness.
        size: Height and width of the photo in pixels.

    Returns:
        A pair: photo, uint8 `(height, width, 3)`, 0-255 RGB, and mask, uint8
        `(height, width)`, ids in the order of `CLASSES`.

    Example:
        >>> import numpy as np
        >>> photo, mask = draw_scene(np.random.default_rng(0), size=(32, 48))
        >>> photo.shape, mask.shape
        ((32, 48, 3), (32, 48))
    """
    light = draw_light(generator)
    plan = _draw_plan(generator)
    camera = _draw_camera(plan, generator)
    canvas = Canvas(camera, *size)
    objects = [
        *_draw_buildings(plan, light, generator),
        *_draw_trees(plan, light, generator),
        *_draw_cars(plan, light, generator),
        *_draw_furniture(plan, camera, light, generator),
        *_draw_people(plan, camera, light, generator),
    ]
    objects = [
        item
        for item in objects
        if isinstance(item, Building) or not _is_too_close(item, camera)
    ]
    shadows = Shadows(light)
    for item in objects:
        item.add_shadow(shadows)
    shadows.soften()

    def depth(item):
        return camera.to_view(*item.position)[1]

    # Front to back, so that occluded objects can be skipped.
    for item in sorted(objects, key=depth):
        item.paint(canvas)
    Ground(plan, light, generator).paint(canvas, shadows)
    paint_sky(canvas, light, generator)
    add_haze(canvas, light)
    colors, mask = canvas.downsample()
    return _expose(colors, light, generator), mask


def _is_too_close(item, camera):
    """Return whether an object is so close that it would hide the street."""
    lateral, depth = camera.to_view(*item.position)
    nearest = {Car: 5.5, Tree: 5.0, Pedestrian: 4.0}.get(type(item), 3.5)
    return np.hypot(lateral, depth) < nearest


def _draw_plan(generator):
    """Sample the street layout: widths, side street, and end."""
    half = generator.uniform(3.0, 6.0)
    widths = generator.uniform(1.5, 5.0, 2)
    crossing = end = None
    if generator.random() < 0.3:
        start = generator.uniform(8.0, 30.0)
        crossing = start, start + generator.uniform(6.0, 9.0)
    if generator.random() < 0.3:
        end = generator.uniform(20.0, 60.0)
    return Plan(
        curbs=(-half, half),
        fronts=(-half - widths[0], half + widths[1]),
        crossing=crossing,
        end=end,
    )


def _draw_camera(plan, generator):
    """Sample a camera on road or pavement, looking along or across."""
    low, high = plan.fronts[0] + 1.5, plan.fronts[1] - 1.5
    x = generator.uniform(low, high)
    yaw = generator.normal(0, 0.22)
    if generator.random() < 0.25:
        # Look across the street, from the pavement.
        side = generator.choice([-1, 1])
        x = (plan.fronts[1] - 0.5) if side < 0 else (plan.fronts[0] + 0.5)
        yaw = side * generator.uniform(0.7, 1.4)
    return Camera(
        x=x,
        height=generator.uniform(1.3, 2.6),
        yaw=yaw,
        roll=generator.normal(0, 0.03),
        horizon=generator.uniform(0.28, 0.66),
        focal=generator.uniform(0.65, 1.05),
    )


def _draw_buildings(plan, light, generator):
    """Sample buildings on both sides, and at the end of a closed street."""
    is_dense = generator.random() < 0.6
    buildings = []
    stop = plan.end if plan.end is not None else _STREET_LENGTH
    for side, front in zip((-1, 1), plan.fronts, strict=True):
        z = generator.uniform(-14.0, -8.0)
        while z < stop:
            length = generator.uniform(6.0, 18.0)
            depth = generator.uniform(7.0, 12.0)
            setback = 0.0 if is_dense else generator.uniform(0.0, 6.0)
            gap = 0.0 if is_dense else generator.uniform(0.0, 9.0)
            edges = sorted((front + side * setback, front + side * depth))
            ends = z, min(z + length, stop)
            z += length + gap
            overlaps_crossing = plan.crossing is not None and (
                ends[0] < plan.crossing[1] + 2
                and ends[1] > plan.crossing[0] - 2
            )
            if overlaps_crossing or ends[1] - ends[0] < 3:
                continue
            buildings.append(
                Building(
                    (edges[0], ends[0]), (edges[1], ends[1]), light, generator
                )
            )
    if plan.end is not None:
        x = -40.0
        while x < 40.0:
            width = generator.uniform(7.0, 18.0)
            near = plan.end + generator.uniform(0.0, 2.0)
            buildings.append(
                Building((x, near), (x + width, near + 9), light, generator)
            )
            x += width + generator.choice([0.0, 3.0])
    return buildings


def _draw_trees(plan, light, generator):
    """Sample trees on the pavements, between and behind the buildings."""
    trees = []
    for side in (0, 1):
        if generator.random() < 0.55:
            spacing = generator.uniform(6.0, 16.0)
            x = plan.curbs[side] + (-1 + 2 * side) * generator.uniform(0.8, 1.3)
            for z in np.arange(generator.uniform(3, 14), 60, spacing):
                trees.append(Tree(x, z, light, generator))
    for _ in range(generator.integers(2, 8)):
        side = generator.integers(2)
        offset = (-1 + 2 * side) * generator.uniform(0.5, 14.0)
        z = generator.uniform(5.0, 70.0)
        trees.append(Tree(plan.fronts[side] + offset, z, light, generator))
    for _ in range(generator.integers(4, 14)):
        x = generator.uniform(-60, 60)
        trees.append(Tree(x, generator.uniform(92, 130), light, generator))
    return [
        tree
        for tree in trees
        if not plan.is_road(*map(np.array, tree.position))
    ]


def _draw_cars(plan, light, generator):
    """Sample parked cars, driving cars and cars in the side street."""
    cars = []
    for side, sign in ((0, -1), (1, 1)):
        if generator.random() < 0.65:
            z = generator.uniform(2.0, 12.0)
            x = plan.curbs[side] - sign * 1.2
            while z < 50:
                if generator.random() < 0.7:
                    cars.append(Car(x, z, True, sign, light, generator))
                z += generator.uniform(5.5, 9.0)
        for _ in range(generator.integers(0, 3)):
            x = plan.curbs[side] * generator.uniform(0.2, 0.4)
            z = generator.uniform(6.0, 45.0)
            cars.append(Car(x, z, True, sign, light, generator))
    if plan.crossing is not None or plan.end is not None:
        center = (
            np.mean(plan.crossing)
            if plan.crossing is not None
            else plan.end - 7
        )
        for x in generator.uniform(-18, 18, generator.integers(1, 4)):
            sign = generator.choice([-1, 1])
            z = center + sign * 1.6
            cars.append(Car(x, z, False, sign, light, generator))
    return cars


def _draw_furniture(plan, camera, light, generator):
    """Sample poles and signs on the pavements, mostly near the camera."""
    objects = []
    for make, count in ((Pole, (2, 6)), (Sign, (2, 6))):
        for _ in range(generator.integers(*count)):
            depth = generator.uniform(4.0, 9.0) * generator.choice([1, 1.6])
            position = _draw_pavement_point(plan, camera, depth, generator)
            if position is not None:
                objects.append(make(*position, light, generator))
    return objects


def _draw_people(plan, camera, light, generator):
    """Sample pedestrians, alone or in groups, some of them on the road."""
    people = []
    for _ in range(generator.integers(2, 6)):
        depth = generator.uniform(4.5, 15.0)
        position = _draw_pavement_point(plan, camera, depth, generator)
        if position is None or generator.random() < 0.2:
            lateral = generator.uniform(-0.4, 0.4) * depth
            position = camera.to_world(lateral, depth)
        for _ in range(generator.choice([1, 1, 2, 3])):
            offset = generator.normal(0, 0.5, 2)
            x, z = position + offset
            people.append(Pedestrian(x, z, light, generator))
    return people


def _draw_pavement_point(plan, camera, depth, generator):
    """Sample a visible pavement point `(x, z)`; return None on failure."""
    for _ in range(8):
        lateral = generator.uniform(-0.55, 0.55) * depth / camera.focal
        x, z = camera.to_world(lateral, depth)
        inside = plan.fronts[0] + 0.4 < x < plan.fronts[1] - 0.4
        if inside and not plan.is_road(np.array(x), np.array(z)):
            return x, z
    return None


def _expose(colors, light, generator):
    """Convert linear light to pixels: white balance, exposure, tone, noise."""
    white_balance = generator.uniform(0.85, 1.15, 3)
    target = generator.uniform(0.4, 0.58) - 0.14 * light.is_night
    exposure = (target / max(float(colors.mean()), 0.05)) ** 0.8
    gain = (white_balance * exposure).astype("float32")
    colors = np.maximum(colors * gain, 0)
    # Tone mapping: compress highlights instead of clipping them.
    colors = np.minimum(colors, 0.7 + 0.3 * np.tanh((colors - 0.7) / 0.3))
    colors = colors ** generator.uniform(0.85, 1.15)
    level = np.float32(generator.uniform(0.003, 0.012))
    colors += level * generator.standard_normal(colors.shape, "float32")
    return np.rint(np.clip(colors, 0, 1) * 255).astype("uint8")


CLASSES = tuple(kind.name.lower() for kind in Kind)
