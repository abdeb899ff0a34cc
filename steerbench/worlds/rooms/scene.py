"""From factors to a scene: boxes, round things, light sources; one room at a time, in metres.

A room stands in the frame of its furniture: x runs from the bed's side to the lamp's side, y up,
z from the camera towards the back wall, which is the plane z = 0. Helpers take distances from
the back wall, because that is how furniture is placed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from steerbench.worlds.rooms import palette
from steerbench.worlds.rooms.palette import Colour, mix

CLASSES = (
    "wall", "ceiling", "floor", "rug", "window", "sky", "hill", "tree", "curtain", "bed",
    "headboard", "pillow", "sofa", "table", "chair", "sideboard", "nightstand", "lamp",
    "picture", "plant", "watermark",
)  # fmt: skip
CLASS = {name: index for index, name in enumerate(CLASSES)}
TEXTURES = ("plain", "curtain", "picture", "drawers", "shade", "leaves")
TEXTURE = {name: index for index, name in enumerate(TEXTURES)}

SURFACES = 5  # back wall, left wall, right wall, floor, ceiling
_BEHIND_SLOT = 0.23  # centre of the window's and of the picture's place, as a share of the width
_Box = tuple[float, ...]


@dataclass
class Scene:
    """Everything the ray caster needs about one room.

    Attributes:
        values: Scalars by name (camera, room, lights), and ``.r .g .b`` triples.
        boxes: ``lo xyz, hi xyz`` each.
        rounds: Quadrics ``centre xyz, weights xyz, constant, low y, high y``: the points with
            ``sum(weight * (point - centre)**2) = constant`` and y between low and high.
        shell_looks, box_looks, round_looks: Class, texture and sRGB colour of each surface.
        shaders: Boxes that darken their surroundings and stop the sun.
    """

    values: dict[str, float]
    boxes: list[_Box] = field(default_factory=list)
    rounds: list[_Box] = field(default_factory=list)
    box_looks: list[tuple[int, int, Colour]] = field(default_factory=list)
    round_looks: list[tuple[int, int, Colour]] = field(default_factory=list)
    shell_looks: list[tuple[int, int, Colour]] = field(default_factory=list)
    shaders: list[_Box] = field(default_factory=list)

    def box(
        self,
        kind: str,
        x: tuple[float, float],
        y: tuple[float, float],
        back: tuple[float, float],
        colour: Colour,
        *,
        texture: str = "plain",
        shades: bool = False,
    ) -> None:
        """Return add a box between two x, two heights, and two distances from the back wall."""
        shape = (x[0], y[0], -back[1], x[1], y[1], -back[0])
        self.boxes.append(shape)
        self.box_looks.append((CLASS[kind], TEXTURE[texture], colour))
        if shades:
            self.shaders.append(shape)

    def ellipsoid(
        self,
        kind: str,
        centre: tuple[float, float, float],
        radii: tuple[float, float, float],
        colour: Colour,
        *,
        texture: str = "plain",
    ) -> None:
        """Return add an ellipsoid; the centre is (x, height, distance from the back wall)."""
        x, y, back = centre
        weights = tuple(1 / radius**2 for radius in radii)
        self.rounds.append((x, y, -back, *weights, 1.0, y - radii[1], y + radii[1]))
        self.round_looks.append((CLASS[kind], TEXTURE[texture], colour))

    def cone(
        self,
        kind: str,
        place: tuple[float, float],
        y: tuple[float, float],
        radii: tuple[float, float],
        colour: Colour,
        *,
        texture: str = "plain",
    ) -> None:
        """Return add an open upright cone between two heights with a radius at each; they must
        differ.
        """
        slope = (radii[1] - radii[0]) / (y[1] - y[0])
        apex = y[0] - radii[0] / slope
        self.rounds.append((place[0], apex, -place[1], 1.0, -(slope**2), 1.0, 0.0, *y))
        self.round_looks.append((CLASS[kind], TEXTURE[texture], colour))

    def paint(self, name: str, colour: Colour) -> None:
        """Keep a colour among the values."""
        for channel, value in zip("rgb", colour):
            self.values[f"{name}.{channel}"] = value


def build(factors: dict[str, float]) -> Scene:
    """Return the scene of one room from its (checked) factors."""
    scene = Scene(dict(factors))
    _camera(scene)
    _shell(scene)
    _wall_things(scene)
    for category, furnish in _FURNISH.items():
        if factors[category]:
            furnish(scene)
    _lamp(scene)
    _plant(scene)
    _daylight(scene)
    return scene


def _camera(scene: Scene) -> None:
    v = scene.values
    v["sign"] = 1.0 if v["side"] else -1.0
    yaw, pitch = math.radians(v["yaw"] * v["sign"]), math.radians(v["pitch"])
    v["sin_yaw"], v["cos_yaw"] = math.sin(yaw), math.cos(yaw)
    v["sin_pitch"], v["cos_pitch"] = math.sin(pitch), math.cos(pitch)
    # the camera walks around a point in the room, so that the room stays in view
    v["eye_x"] = -math.tan(yaw) * 0.75 * (v["distance"] - 0.9)


def _shell(scene: Scene) -> None:
    v = scene.values
    wall = palette.wall(v["wall_warmth"], v["wall_lightness"])
    ceiling = mix(mix(wall, palette.WHITE, 0.45), (0.95, 0.95, 0.93), v["ceiling_lightness"])
    floor = palette.floor(v["wood"], v["floor_tone"])
    for kind, colour in (
        ("wall", wall), ("wall", wall), ("wall", wall), ("floor", floor), ("ceiling", ceiling),
    ):  # fmt: skip
        scene.shell_looks.append((CLASS[kind], TEXTURE["plain"], colour))
    scene.paint("wall", wall)
    scene.paint("floor", floor)
    accent = palette.fabric(v["accent_hue"], 0.5)
    scene.paint("accent", accent)
    v["rug_x"], v["rug_w"], v["rug_back"], v["rug_d"] = 0.0, 1.0, 1.8, 0.7


def _wall_things(scene: Scene) -> None:
    v = scene.values
    slot = _BEHIND_SLOT * v["room_width"]
    side = 1.0 if v["window_side"] else -1.0
    x, half = side * slot + v["window_offset"], v["window_width"] / 2
    low, high = 0.98, 2.18
    v["pane_x"], v["pane_y"] = x, (low + high) / 2
    v["pane_w"], v["pane_h"] = half, (high - low) / 2
    v["view_x"] = x
    if v["window"]:
        sill = (x - half - 0.08, x + half + 0.08), (low - 0.06, low), (0.0, 0.045)
        scene.box("window", *sill, palette.WHITE)
    if v["curtains"]:
        cloth = palette.fabric(v["accent_hue"], 0.72)
        rod = mix(palette.timber(v["wood_tone"]), (0.2, 0.2, 0.2), 0.3)
        for end in (-1, 1):
            near, far = sorted((x + end * (half - 0.16), x + end * (half + 0.24)))
            scene.box("curtain", (near, far), (0.12, 2.24), (0.05, 0.13), cloth, texture="curtain")
        scene.box("curtain", (x - half - 0.32, x + half + 0.32), (2.24, 2.28), (0.07, 0.11), rod)
    if v["picture"]:
        frame = mix(palette.timber(v["wood_tone"]), (0.15, 0.12, 0.10), 0.35)
        at = -side * slot
        v["art_x"], v["art_y"], v["art_w"], v["art_h"] = at, 1.62, 0.46, 0.35
        scene.box(
            "picture", (at - 0.46, at + 0.46), (1.27, 1.97), (0.0, 0.05), frame, texture="picture"
        )


def _bedroom(scene: Scene) -> None:
    v = scene.values
    wood = palette.timber(v["wood_tone"])
    cover = palette.fabric(v["cover_hue"], v["cover_lightness"])
    throw = palette.fabric(v["accent_hue"], 0.45)
    x = -0.16 * v["room_width"] + v["furniture_offset"]
    half = 0.76
    scene.box("bed", (x - half, x + half), (0.1, 0.3), (0.05, 2.06), wood)
    scene.box("bed", (x - half + 0.02, x + half - 0.02), (0.3, 0.54), (0.1, 2.0), palette.LINEN)
    scene.box("bed", (x - half - 0.02, x + half + 0.02), (0.24, 0.57), (0.86, 2.08), cover)
    scene.box("bed", (x - half - 0.022, x + half + 0.022), (0.23, 0.572), (1.5, 1.86), throw)
    scene.box("bed", (x - half - 0.022, x + half + 0.022), (0.3, 0.573), (0.72, 0.9), palette.LINEN)
    scene.box("headboard", (x - half - 0.06, x + half + 0.06), (0.1, 1.06), (0.0, 0.1), wood)
    for end in (-1, 1):
        scene.ellipsoid("pillow", (x + end * 0.37, 0.63, 0.38), (0.35, 0.14, 0.25), palette.WHITE)
    scene.shaders.append((x - half, 0.02, -2.06, x + half, 0.5, 0.0))
    stand = x + half + 0.36
    scene.box(
        "nightstand", (stand - 0.24, stand + 0.24), (0.0, 0.52), (0.04, 0.48), wood,
        texture="drawers", shades=True,
    )  # fmt: skip
    v["lamp_x"], v["lamp_back"], v["lamp_foot"], v["lamp_size"] = stand, 0.26, 0.52, 1.0
    v["rug_x"], v["rug_w"], v["rug_back"], v["rug_d"] = x + 0.1, 1.3, 1.75, 0.8


def _living_room(scene: Scene) -> None:
    v = scene.values
    wood = palette.timber(v["wood_tone"])
    cover = palette.fabric(v["cover_hue"], v["cover_lightness"])
    light = mix(cover, palette.WHITE, 0.12)
    throw = palette.fabric(v["accent_hue"], 0.55)
    x = -0.14 * v["room_width"] + v["furniture_offset"]
    half = 0.98
    scene.box("sofa", (x - half, x + half), (0.08, 0.34), (0.05, 0.95), cover)
    scene.box("sofa", (x - half, x + half), (0.3, 0.86), (0.05, 0.32), cover)
    for end in (-1, 1):
        near, far = sorted((x + end * half, x + end * (half - 0.2)))
        scene.box("sofa", (near, far), (0.08, 0.6), (0.05, 0.97), cover)
        near, far = sorted((x + end * 0.01, x + end * (half - 0.2)))
        scene.box("sofa", (near, far), (0.34, 0.47), (0.3, 0.98), light)
    scene.ellipsoid("pillow", (x - 0.52, 0.62, 0.44), (0.24, 0.2, 0.13), throw)
    scene.ellipsoid("pillow", (x + 0.52, 0.62, 0.44), (0.24, 0.2, 0.13), palette.LINEN)
    scene.shaders.append((x - half, 0.02, -0.95, x + half, 0.55, 0.0))
    t = x + 0.1
    scene.box("table", (t - 0.55, t + 0.55), (0.36, 0.42), (1.45, 1.98), wood)
    for end in (-1, 1):
        near, far = sorted((t + end * 0.5, t + end * 0.44))
        scene.box("table", (near, far), (0.0, 0.36), (1.5, 1.93), wood)
    scene.shaders.append((t - 0.5, 0.02, -1.9, t + 0.5, 0.4, -1.5))
    v["lamp_x"], v["lamp_back"], v["lamp_foot"], v["lamp_size"] = x + half + 0.36, 0.42, 0.0, 1.0
    v["rug_x"], v["rug_w"], v["rug_back"], v["rug_d"] = t, 1.25, 1.7, 0.75


def _dining_room(scene: Scene) -> None:
    v = scene.values
    wood = palette.timber(v["wood_tone"])
    cover = palette.fabric(v["cover_hue"], v["cover_lightness"])
    x = -0.10 * v["room_width"] + v["furniture_offset"]
    back = 1.62
    scene.box("table", (x - 0.74, x + 0.74), (0.68, 0.75), (back - 0.42, back + 0.42), wood)
    for end in (-1, 1):
        near, far = sorted((x + end * 0.6, x + end * 0.52))
        scene.box("table", (near, far), (0.0, 0.68), (back - 0.3, back + 0.3), wood)
        near, far = sorted((x + end * 1.18, x + end * 1.11))
        scene.box("chair", (near, far), (0.4, 0.98), (back - 0.22, back + 0.22), cover)
        near, far = sorted((x + end * 1.18, x + end * 0.74))
        scene.box("chair", (near, far), (0.4, 0.48), (back - 0.22, back + 0.22), cover)
        for leg in (1.15, 0.78):
            near, far = sorted((x + end * leg, x + end * (leg - 0.05)))
            scene.box("chair", (near, far), (0.0, 0.4), (back - 0.2, back + 0.2), wood)
        c = x + end * 0.36
        scene.box("chair", (c - 0.23, c + 0.23), (0.3, 1.0), (0.62, 0.69), cover)
        scene.box("chair", (c - 0.23, c + 0.23), (0.4, 0.48), (0.62, 1.1), cover)
        scene.box("chair", (c - 0.2, c + 0.2), (0.0, 0.4), (0.68, 0.74), wood)
    fruit = palette.fabric(v["accent_hue"], 0.4)
    scene.cone("table", (x, back), (0.75, 0.88), (0.09, 0.23), palette.WHITE)
    scene.ellipsoid("table", (x - 0.07, 0.88, back), (0.1, 0.1, 0.1), fruit)
    ripe = mix(fruit, (0.9, 0.7, 0.3), 0.5)
    scene.ellipsoid("table", (x + 0.09, 0.87, back + 0.02), (0.09, 0.09, 0.09), ripe)
    scene.shaders.append((x - 0.7, 0.45, -back - 0.38, x + 0.7, 0.72, -back + 0.38))
    scene.shaders.append((x - 1.15, 0.02, -back - 0.2, x - 0.75, 0.45, -back + 0.2))
    scene.shaders.append((x + 0.75, 0.02, -back - 0.2, x + 1.15, 0.45, -back + 0.2))
    board = 0.25 * v["room_width"]
    scene.box(
        "sideboard", (board - 0.62, board + 0.62), (0.0, 0.78), (0.02, 0.44), wood,
        texture="drawers", shades=True,
    )  # fmt: skip
    v["lamp_x"], v["lamp_back"], v["lamp_foot"], v["lamp_size"] = board - 0.2, 0.24, 0.78, 0.9
    v["rug_x"], v["rug_w"], v["rug_back"], v["rug_d"] = x, 1.35, back, 0.85


_FURNISH = {"bedroom": _bedroom, "living_room": _living_room, "dining_room": _dining_room}


def _lamp(scene: Scene) -> None:
    v = scene.values
    x, back, foot, size = v["lamp_x"], v["lamp_back"], v["lamp_foot"], v["lamp_size"]
    standing = foot == 0.0
    bottom = 1.2 if standing else foot + 0.36 * size
    top = bottom + 0.38 * size
    v["bulb_x"], v["bulb_y"], v["bulb_z"] = x, (bottom + top) / 2, -back
    v["lit"] = v["lamp_on"]
    scene.paint("glow", palette.lamp_light(v["lamp_warmth"]))
    if not v["lamp"]:
        return
    v["shade_low"], v["shade_high"] = bottom, top
    for half, height in ((0.11, foot + 0.035), (0.028, bottom + 0.1)):
        ends = (x - half, x + half), (foot, height), (back - half, back + half)
        scene.box("lamp", *ends, palette.BRASS)
    scene.cone(
        "lamp", (x, back), (bottom, top), (0.27 * size, 0.17 * size), palette.LINEN, texture="shade"
    )


_LEAVES = (  # x, height, distance from the wall, radius, lightness
    (-0.17, 0.80, 0.05, 0.22, 0.20),
    (0.17, 0.86, 0.08, 0.22, 0.50),
    (0.00, 0.92, 0.16, 0.20, 0.35),
    (-0.10, 1.08, 0.00, 0.21, 0.70),
    (0.11, 1.14, 0.02, 0.19, 0.90),
)


def _plant(scene: Scene) -> None:
    v = scene.values
    if not v["plant"]:
        return
    edge = min(v["room_width"] / 2 - 0.42, 1.74)  # in wide rooms nearer, to stay in view
    x, back = (-edge, 0.42) if v["dining_room"] else (edge, 0.5)
    s = 0.8 + 0.4 * v["plant_size"]
    scene.cone("plant", (x, back), (0.0, 0.36), (0.14, 0.21), palette.TERRACOTTA)
    scene.ellipsoid("plant", (x, 0.34, back), (0.2, 0.03, 0.2), (0.30, 0.22, 0.16))
    stem = (x - 0.025, x + 0.025), (0.3, 0.8 * s), (back - 0.025, back + 0.025)
    scene.box("plant", *stem, (0.40, 0.28, 0.18))
    for dx, y, dz, radius, shade in _LEAVES:
        green = mix((0.20, 0.42, 0.20), (0.46, 0.66, 0.30), shade)
        centre = (x + dx * s, y * s, back + dz * s)
        radii = (radius * s, radius * 1.05 * s, radius * s)
        scene.ellipsoid("plant", centre, radii, green, texture="leaves")
    scene.shaders.append((x - 0.16, 0.0, -back - 0.16, x + 0.16, 0.34, -back + 0.16))


def _daylight(scene: Scene) -> None:
    """Light that does not come from the lamp, in linear units."""
    v = scene.values
    night = bool(v["night"])
    clear = 1 - v["cloud_cover"]
    if night:
        sky, bright = (0.42, 0.58, 1.0), 0.46
        beam, strength = (0.7, 0.95, 1.6), 0.25 + 0.75 * clear
    else:
        sky, bright = mix((1.0, 0.98, 0.94), (0.86, 0.94, 1.04), 0.5), 0.75 + 0.5 * v["daylight"]
        beam, strength = (6.0, 4.9, 3.3), clear * bright
    black = (0.0, 0.0, 0.0)
    scene.paint("ambient", mix(black, sky, bright * (0.72 if v["window"] else 0.66)))
    scene.paint("skylight", mix(black, sky, bright * 2.3 * v["window"]))
    scene.paint("beam", mix(black, beam, strength * v["window"]))
    v["beam_x"], v["beam_y"] = -0.45 * v["sun_side"], 0.62  # towards the sun, per metre of z
