"""Light: the sky's, the sun's or the moon's, the lamp's, and where it cannot reach.

Everything is linear and per ray. Corners and the ground under furniture get less of the ambient
light; the sun's beam is stopped by furniture; the lamp falls off with the square of distance.
"""

from __future__ import annotations

import torch
from torch import Tensor

from steerbench.worlds.rooms.surfaces import Surface
from steerbench.worlds.rooms.trace import Hits, Tables, windows

_REACH = 0.5  # metres over which furniture darkens its surroundings
_CHANNELS = ("r", "g", "b")


def illuminate(surface: Surface, hits: Hits, t: Tables, resolution: int) -> list[Tensor]:
    """Return the light that reaches the eye, three channels of ``[rows, N, columns]``."""
    shape = hits.depth.shape
    normal = [axis.view(shape) for axis in surface.normal]
    v = t.values
    open_sky = _openness(hits, normal, t, resolution)
    up = 0.5 + 0.5 * normal[1]
    base = (0.62 + 0.30 * up - 0.16 * normal[2]) * open_sky
    bounce = (1 - up) * open_sky * 0.55
    window = _window(hits, normal, v) * (0.35 + 0.65 * open_sky)
    beam = _beam(hits, normal, t) if bool((v["beam.g"] > 0).any()) else None
    lamp = _lamp(hits, normal, v, open_sky) if bool((v["lit"] > 0).any()) else None
    out = []
    for channel, c in enumerate(_CHANNELS):
        light = v[f"ambient.{c}"] * (base + bounce * (v[f"floor.{c}"] * v[f"floor.{c}"]))
        light = light + v[f"skylight.{c}"] * window
        if beam is not None:
            light = light + v[f"beam.{c}"] * beam
        if lamp is not None:
            light = light + v[f"glow.{c}"] * lamp
        out.append(
            light * surface.albedo[channel].view(shape) + surface.emission[channel].view(shape)
        )
    return out


def _openness(hits: Hits, normal: list[Tensor], t: Tables, resolution: int) -> Tensor:
    """1 where a point sees all of the room, less in corners and beside furniture."""
    x, y, z = hits.at
    v = t.values
    gaps = (
        (v["room_width"] / 2 - x.abs(), normal[0], 0.40),
        (y, normal[1], 0.42),
        (v["room_height"] - y, normal[1], 0.30),
        (-z, normal[2], 0.40),
    )
    open_sky = torch.ones_like(x)
    for gap, along, depth in gaps:
        near = gap * 3.2
        open_sky = open_sky * (1 - depth * (1 - along.abs()) / (1 + near * near))
    reach = torch.tensor([-1, -1, -1, 1, 1, 1], dtype=torch.float32, device=x.device) * _REACH
    for box, part in zip(t.shaders, windows(t.shaders + reach[:, None, None], v, resolution)):
        if part is not None:
            points, facing = [axis[part] for axis in hits.at], [axis[part] for axis in normal]
            open_sky[part] *= 1 - _shadow(box, points, facing)
    return open_sky


def _shadow(box: Tensor, at: list[Tensor], normal: list[Tensor]) -> Tensor:
    """How much a box darkens a point: by its nearness, unless it lies behind the surface."""
    away = []
    for axis in range(3):
        nearest = torch.minimum(torch.maximum(at[axis], box[axis]), box[axis + 3])
        away.append(nearest - at[axis])
    square = away[0] * away[0] + away[1] * away[1] + away[2] * away[2]
    distance = (square + 1e-4).sqrt()
    facing = (away[0] * normal[0] + away[1] * normal[1] + away[2] * normal[2]) / distance
    near = (1 - distance / _REACH).clamp(min=0)
    return 0.8 * near * near * (0.75 + 1.2 * facing).clamp(0, 1)


def _window(hits: Hits, normal: list[Tensor], v: dict[str, Tensor]) -> Tensor:
    """Soft light of the sky through the window, as from a small area."""
    x, y, z = hits.at
    dx, dy = v["pane_x"] - x, v["pane_y"] + 0.1 - y
    square = dx * dx + dy * dy + z * z + 0.35
    distance = square.sqrt()
    facing = (dx * normal[0] + dy * normal[1] - z * normal[2]) / distance
    falling = (facing * 0.8 + 0.2).clamp(min=0)
    return falling * (-z) / (distance * square) * (v["pane_w"] * v["pane_h"] * 4)


def _beam(hits: Hits, normal: list[Tensor], t: Tables) -> Tensor:
    """Sun or moon through the window: 0 to 1 where the pane's light falls, shadows cut out."""
    v = t.values
    x, y, z = hits.at
    across = (x - v["beam_x"] * z - v["pane_x"]).abs()
    level = y - v["beam_y"] * z - v["pane_y"]
    wide = v["pane_w"] - 0.07 - 0.10 * v["curtains"]
    inside = torch.minimum(wide - across, v["pane_h"] - 0.07 - level.abs())
    inside = torch.minimum(inside, across - 0.03)
    soft = (inside / (0.03 - 0.03 * z) + 0.5).clamp(0, 1)
    slant = (v["beam_x"] * v["beam_x"] + v["beam_y"] * v["beam_y"] + 1).sqrt()
    facing = (v["beam_x"] * normal[0] + v["beam_y"] * normal[1] + normal[2]) / slant
    light = soft * facing.clamp(min=0) * (z < -0.2)
    rays = light.reshape(-1).nonzero()[:, 0]
    if not len(rays):
        return light
    points = [axis.reshape(-1)[rays] for axis in hits.at]
    picture = rays // light.shape[2] % light.shape[1]
    free = torch.ones_like(points[0])
    for box in t.shaders:
        free = free * ~_blocks(box[..., 0][:, picture], points, v, picture)
    light.view(-1)[rays] *= free
    return light


def _blocks(box: Tensor, at: list[Tensor], v: dict[str, Tensor], picture: Tensor) -> Tensor:
    """Whether a box lies between a point and the sun."""
    towards = (v["beam_x"][picture, 0], v["beam_y"][picture, 0], 1.0)
    enter, leave = torch.full_like(at[0], 0.06), torch.full_like(at[0], 1e3)
    for axis in range(3):
        pace = towards[axis] + 1e-9
        a, b = (box[axis] - at[axis]) / pace, (box[axis + 3] - at[axis]) / pace
        enter = torch.maximum(enter, torch.minimum(a, b))
        leave = torch.minimum(leave, torch.maximum(a, b))
    return enter < leave


def _lamp(hits: Hits, normal: list[Tensor], v: dict[str, Tensor], open_sky: Tensor) -> Tensor:
    """Lamp light: most leaves the shade above and below, some through it, some comes back."""
    x, y, z = hits.at
    dx, dy, dz = v["bulb_x"] - x, v["bulb_y"] - y, v["bulb_z"] - z
    square = dx * dx + dy * dy + dz * dz
    falling = (dx * normal[0] + dy * normal[1] + dz * normal[2]) / (square + 1e-6).sqrt()
    falling = (falling * 0.85 + 0.15).clamp(min=0)
    spread = 0.5 + 0.9 * (dy * dy) / (square + 1e-6)
    direct = 1.5 * falling * spread / (square + 0.16)
    return (direct * (0.5 + 0.5 * open_sky) + 0.13 * open_sky) * v["lit"]
