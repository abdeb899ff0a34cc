"""What surfaces look like before light falls on them: planks, tiles, curtains, the view outside.

Points are flat lists here: a *patch* is the set of rays that met one kind of surface, and its
functions see only those. Colours are linear light.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from steerbench.worlds.rooms.palette import Colour
from steerbench.worlds.rooms.scene import CLASS, SURFACES, TEXTURE
from steerbench.worlds.rooms.trace import Hits, Tables

OUTSIDE = 8.0  # metres from the back wall to the trees
SKY_DEPTH = 60.0


@dataclass
class Surface:
    """What every ray sees, each ``[rays]``.

    Attributes:
        kind: uint8, index of the class.
        albedo: Three channels, linear.
        emission: Three channels of light that the surface gives off by itself.
        normal: x, y, z, of length 1, towards the eye.
        depth: Metres along the viewing axis.
    """

    kind: Tensor
    albedo: list[Tensor]
    emission: list[Tensor]
    normal: list[Tensor]
    depth: Tensor


@dataclass
class Patch:
    """Some of the rays: where they are in the list, their picture, and their points."""

    rays: Tensor
    at: list[Tensor]
    value: Callable[[str], Tensor]

    @property
    def x(self) -> Tensor:
        return self.at[0]

    @property
    def y(self) -> Tensor:
        return self.at[1]

    @property
    def z(self) -> Tensor:
        return self.at[2]


def describe(hits: Hits, t: Tables) -> Surface:
    """Return class, colour and normal for every ray."""
    picture = torch.arange(hits.depth.shape[1], device=hits.depth.device)[:, None]
    picture = picture.expand(hits.depth.shape).reshape(-1)
    where = picture * t.surfaces + hits.surface.reshape(-1).long()
    looks = t.looks.T.contiguous()
    kind, texture = (looks[row].to(torch.uint8).index_select(0, where) for row in (0, 1))
    zero = torch.zeros_like(hits.depth).view(-1)
    surface = Surface(
        kind=kind,
        albedo=[looks[channel].index_select(0, where) for channel in (2, 3, 4)],
        emission=[zero, zero.clone(), zero.clone()],
        normal=[],
        depth=hits.depth.reshape(-1).clone(),
    )
    at = [axis.reshape(-1) for axis in hits.at]
    name = hits.surface.reshape(-1)
    surface.normal = _normals(name, where, at, hits, t)

    def patch(chosen: Tensor) -> Patch:
        rays = chosen.nonzero()[:, 0]
        own = picture.index_select(0, rays)
        return Patch(
            rays=rays,
            at=[axis.index_select(0, rays) for axis in at],
            value=lambda name: t.values[name].view(-1).index_select(0, own),
        )

    _floor(surface, patch(name == 3))
    _side_walls(surface, patch((name == 1) | (name == 2)))
    _back_wall(surface, patch(name == 0), hits)
    for label, paint in _PAINT.items():
        part = patch(texture == TEXTURE[label])
        if len(part.rays):
            paint(surface, part)
    return surface


def _normals(name: Tensor, where: Tensor, at: list[Tensor], hits: Hits, t: Tables) -> list[Tensor]:
    shell = torch.zeros(3, 256, device=where.device)
    shell[2, 0], shell[0, 1], shell[0, 2], shell[1, 3], shell[1, 4] = -1, 1, -1, 1, -1
    index = name.long()
    normal = [shell[axis].index_select(0, index) for axis in range(3)]
    shapes = t.shapes.T.contiguous()
    n_boxes = len(t.boxes)

    rays = ((name >= SURFACES) & (name < SURFACES + n_boxes)).nonzero()[:, 0]
    own = where.index_select(0, rays)
    sides = []
    for axis in range(3):
        low, high = (shapes[row].index_select(0, own) for row in (axis, axis + 3))
        sides.append((2 * at[axis].index_select(0, rays) - low - high) / (high - low))
    size = [side.abs() for side in sides]
    on_x = (size[0] >= size[1]) & (size[0] >= size[2])
    on_y = ~on_x & (size[1] >= size[2])
    for axis, on in enumerate((on_x, on_y, ~on_x & ~on_y)):
        normal[axis][rays] = on * sides[axis].sign()

    rays = (name >= SURFACES + n_boxes).nonzero()[:, 0]
    own = where[rays]
    slope = [(at[k][rays] - shapes[k][own]) * shapes[k + 3][own] for k in range(3)]
    ray = [axis.reshape(-1)[rays] for axis in hits.direction]
    towards = slope[0] * ray[0] + slope[1] * ray[1] + slope[2] * ray[2]
    length = (slope[0] * slope[0] + slope[1] * slope[1] + slope[2] * slope[2]).sqrt()
    length = torch.where(towards > 0, -length, length) + 1e-12
    for axis in range(3):
        normal[axis][rays] = slope[axis] / length
    return normal


def _set(channels: list[Tensor], rays: Tensor, chosen: Tensor, colour: Colour) -> None:
    picked = rays[chosen]
    for channel, value in zip(channels, colour):
        channel[picked] = value * value


def _scale(surface: Surface, rays: Tensor, factor: Tensor) -> None:
    for channel in surface.albedo:
        channel[rays] = channel[rays] * factor


def _fraction(x: Tensor) -> Tensor:
    return x - x.floor()


def _floor(surface: Surface, p: Patch) -> None:
    wood = p.value("wood") > 0
    row = (p.x / 0.24).floor()
    along = p.z / 1.3 + _fraction(row * 0.618)
    tone = _fraction(row * 0.381 + along.floor() * 0.755)
    seam = torch.minimum(_fraction(p.x / 0.24), 1 - _fraction(p.x / 0.24)) < 0.045
    planks = 0.82 + 0.30 * tone - 0.24 * seam
    u, w = p.x / 0.5, (p.z + 0.1) / 0.5
    odd = _fraction((u.floor() + w.floor()) / 2) > 0.25
    edge = torch.minimum(
        torch.minimum(_fraction(u), 1 - _fraction(u)), torch.minimum(_fraction(w), 1 - _fraction(w))
    )
    tiles = 0.86 + 0.22 * odd - 0.16 * (edge < 0.03)
    _scale(surface, p.rays, torch.where(wood, planks, tiles))

    across = (p.x - p.value("rug_x")).abs() / p.value("rug_w")
    deep = (p.z + p.value("rug_back")).abs() / p.value("rug_d")
    border = torch.maximum(across, 1 - (1 - deep) * p.value("rug_d") / p.value("rug_w"))
    on = (across < 1) & (deep < 1) & (p.value("rug") > 0)
    surface.kind[p.rays[on]] = CLASS["rug"]
    band = (border > 0.84) & (border < 0.92)
    for channel, name in zip(surface.albedo, ("accent.r", "accent.g", "accent.b")):
        accent = p.value(name)
        cloth = torch.where(band, accent * 0.6 + 0.36, accent * 0.8 + 0.12)
        channel[p.rays] = torch.where(on, cloth * cloth, channel[p.rays])


def _side_walls(surface: Surface, p: Patch) -> None:
    _set(surface.albedo, p.rays, p.y < 0.11, (0.90, 0.89, 0.86))


def _back_wall(surface: Surface, p: Patch, hits: Hits) -> None:
    _side_walls(surface, p)
    across = (p.x - p.value("pane_x")).abs()
    level = p.y - p.value("pane_y")
    up = level.abs()
    wide, tall = p.value("pane_w"), p.value("pane_h")
    inside = (across < wide) & (up < tall) & (p.value("window") > 0)
    bars = (across > wide - 0.075) | (up > tall - 0.075) | (across < 0.028)
    bars = bars | ((level - 0.16).abs() < 0.022)
    frame = inside & bars
    _set(surface.albedo, p.rays, frame, (0.95, 0.94, 0.91))
    surface.kind[p.rays[frame]] = CLASS["window"]
    pane = (inside & ~bars).nonzero()[:, 0]
    if len(pane):
        _outside(surface, p, pane, hits)


def _blend(colour: list[Tensor], other: Sequence[float | Tensor], share: Tensor) -> list[Tensor]:
    return [c + (o - c) * share for c, o in zip(colour, other)]


def _outside(surface: Surface, p: Patch, pane: Tensor, hits: Hits) -> None:
    """The view: sky with clouds or stars, a hill, trees; sRGB here, linear when stored."""
    rays = p.rays[pane]

    def value(name: str) -> Tensor:
        return p.value(name)[pane]

    distance = value("distance")
    stretch = (distance + OUTSIDE) / distance
    x = value("eye_x") + (p.x[pane] - value("eye_x")) * stretch
    x = x - value("view_x") * (1 + OUTSIDE / 3.9)
    y = value("height") + (p.y[pane] - value("height")) * stretch
    night = value("night") > 0
    colour = _sky(x, y, night, value)
    kind = torch.full_like(rays, CLASS["sky"], dtype=torch.uint8)

    lit = torch.where(night, 0.26, 0.72 + 0.24 * value("daylight"))
    hill = y < 0.62 + 0.16 * _wave(x / 5.0 + value("tree_offset") * 0.15)
    ground = [lit * c for c in (0.50, 0.70, 0.36)]
    night_blue = torch.where(night, 0.10, 0.0)
    ground[2] = ground[2] + night_blue
    colour = _blend(colour, ground, hill.float())
    kind[hill] = CLASS["hill"]
    shade, crown = _trees(x - 1.1 * value("tree_offset"), y)
    crown = crown & (value("trees") > 0)
    leaf = [lit * shade * c for c in (0.36, 0.62, 0.28)]
    leaf[2] = leaf[2] + night_blue * 0.7
    colour = _blend(colour, leaf, crown.float())
    kind[crown] = CLASS["tree"]

    surface.kind[rays] = kind
    surface.depth[rays] = torch.where(hill | crown, surface.depth[rays] * stretch, SKY_DEPTH)
    for channel in range(3):
        surface.albedo[channel][rays] = 0.0
        surface.emission[channel][rays] = colour[channel] * colour[channel] * 1.15


def _wave(x: Tensor) -> Tensor:
    """A soft wave between -1 and 1 with period 1, made of parabolas."""
    part = _fraction(x) * 2 - 1
    return 4 * part * (1 - part.abs())


_PUFFS = (
    (-6.8, 3.3, 1.7, 0.50), (-5.4, 4.6, 1.3, 0.45), (-3.6, 2.5, 1.2, 0.40), (-2.5, 3.9, 1.6, 0.55),
    (-1.3, 3.6, 1.1, 0.45), (0.3, 2.7, 1.3, 0.42), (1.3, 4.4, 1.5, 0.5), (2.4, 3.2, 1.2, 0.48),
    (3.4, 3.5, 1.5, 0.5), (4.9, 2.6, 1.2, 0.40), (6.2, 3.9, 1.7, 0.55), (-0.2, 5.4, 2.0, 0.5),
)  # fmt: skip
_STARS = (
    (-2.3, 3.9), (-1.5, 2.6), (-0.6, 3.3), (0.3, 4.2), (1.9, 2.3), (2.5, 4.1), (-0.2, 2.1),
    (1.3, 4.6), (-1.9, 4.8), (2.3, 3.2),
)  # fmt: skip


def _sky(x: Tensor, y: Tensor, night: Tensor, value: Callable[[str], Tensor]) -> list[Tensor]:
    cover, light = value("cloud_cover"), value("daylight")
    height = ((y - 0.5) / 4.5).clamp(0, 1)
    rise = height * (2 - height)
    day: list[Tensor] = []
    for low, high in zip((0.86, 0.93, 0.97), (0.36, 0.60, 0.91)):
        blue = low + (high - low) * rise
        day.append((blue + (0.80 - blue) * 0.75 * cover * cover) * (0.84 + 0.16 * light))
    dark = [low + (high - low) * rise for low, high in zip((0.20, 0.26, 0.44), (0.07, 0.09, 0.23))]

    cloud = torch.zeros_like(x)
    size = 0.55 + 0.75 * cover
    for cx, cy, wide, tall in _PUFFS:
        dx = (x - cx - 1.2 * value("cloud_shift")) / (wide * size)
        dy = (y - cy) / (tall * size)
        near = (1 - dx * dx - dy * dy).clamp(min=0)
        cloud = cloud + near * (0.4 + cover)
    cloud = (cloud * 1.8).clamp(max=1) * (cover * 5).clamp(max=1)
    white = 0.98 - 0.16 * cover * (1 - height)
    day = _blend(day, [white, white, white + 0.01], cloud * 0.92)

    star = torch.zeros_like(x)
    for cx, cy in _STARS:
        dx, dy = x - cx, y - cy
        star = torch.maximum(star, (1.4 - (dx * dx + dy * dy) * 90).clamp(0, 1))
    dx, dy = x - 0.9, y - 3.25
    from_moon = dx * dx + dy * dy
    halo = 0.22 / (1 + from_moon * 2.2)
    moon = ((0.40 - from_moon.sqrt()) * 12 + 0.5).clamp(0, 1)
    dark = [c + halo * k for c, k in zip(dark, (0.8, 0.9, 1.1))]
    dark = _blend(dark, (0.85, 0.88, 0.95), star * (1 - cover * 0.6))
    dark = _blend(dark, (0.97, 0.95, 0.86), moon)
    dark = _blend(dark, (0.24, 0.27, 0.40), cloud * 0.6)
    return [torch.where(night, a, b) for a, b in zip(dark, day)]


_CROWNS = (
    (-2.9, 1.25, 0.75), (-2.3, 1.0, 0.55), (0.1, 1.35, 0.80), (-0.45, 1.05, 0.6), (0.65, 1.0, 0.6),
    (3.0, 1.2, 0.7), (3.5, 0.95, 0.55), (-5.6, 1.2, 0.8), (5.8, 1.3, 0.8),
)  # fmt: skip


def _trees(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    shade, crown = torch.zeros_like(x), torch.zeros_like(x, dtype=torch.bool)
    for cx, cy, radius in _CROWNS:
        dx, dy = (x - cx) / radius, (y - cy) / radius
        inside = dx * dx + dy * dy < 1
        tone = 0.82 + 0.30 * dy - 0.06 * dx
        shade = torch.where(inside & (tone > shade), tone, shade)
        crown = crown | inside
    return shade, crown


def _curtain(surface: Surface, p: Patch) -> None:
    fold = _wave((p.x - p.value("pane_x")).abs() / 0.17)
    _scale(surface, p.rays, 0.82 + 0.16 * fold)


def _drawers(surface: Surface, p: Patch) -> None:
    front = surface.normal[2][p.rays] < -0.5
    level = p.y / 0.26
    seam = torch.minimum(_fraction(level), 1 - _fraction(level)) < 0.055
    _scale(surface, p.rays, 1 - 0.45 * (front & seam))


def _leaves(surface: Surface, p: Patch) -> None:
    # leaves catch light at their upper ends, so a crown reads as many
    leaf = _wave(p.x / 0.13 + p.y / 0.21) * _wave(p.y / 0.15 - p.z / 0.17)
    _scale(surface, p.rays, 1 + 0.22 * leaf)


def _shade(surface: Surface, p: Patch) -> None:
    low, high = p.value("shade_low"), p.value("shade_high")
    level = (p.y - low) / (high - low)
    strength = p.value("lit") * (2.6 - 1.5 * (2 * level - 0.8).abs())
    for channel, name in zip(surface.emission, ("glow.r", "glow.g", "glow.b")):
        channel[p.rays] = strength * p.value(name)


def _picture(surface: Surface, p: Patch) -> None:
    """A landscape in the accent colour: a low sun over two hills, in a white mount."""
    u = (p.x - p.value("art_x")) / p.value("art_w")
    w = (p.y - p.value("art_y")) / p.value("art_h")
    front = surface.normal[2][p.rays] < -0.5
    mount = front & (u.abs() < 0.87) & (w.abs() < 0.84)
    paper = mount & (u.abs() < 0.68) & (w.abs() < 0.60)
    _set(surface.albedo, p.rays, mount, (0.95, 0.94, 0.90))
    dx, dy = u - 0.22, (w - 0.14) * 0.76
    sun = dx * dx + dy * dy < 0.048
    hill = w < -0.12 + 0.55 * (u + 0.45) * (0.35 - u)
    front_hill = w < -0.42 + 0.5 * (u + 0.1) * (1.1 - u)
    for channel, name, warm in zip(
        surface.albedo, ("accent.r", "accent.g", "accent.b"), (0.97, 0.80, 0.52)
    ):
        accent = p.value(name)
        tone = torch.where(sun, warm, accent * 0.45 + 0.52)
        tone = torch.where(hill, accent * 0.85 + 0.06, tone)
        tone = torch.where(front_hill, accent * 0.55, tone)
        channel[p.rays] = torch.where(paper, tone * tone, channel[p.rays])


_PAINT: dict[str, Callable[[Surface, Patch], None]] = {
    "curtain": _curtain,
    "picture": _picture,
    "drawers": _drawers,
    "shade": _shade,
    "leaves": _leaves,
}
