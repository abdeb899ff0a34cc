"""Rays, and what they meet: the room's shell, boxes, and quadrics.

Rays are laid out ``[rows, N, columns]``, so that the rows which a box can reach are one slice for
all pictures of a chunk. Only +, -, *, / and the square root are used on rays: those are exact in
IEEE arithmetic, so a pixel does not depend on the pictures that are rendered beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from steerbench.worlds.rooms.scene import SURFACES, Scene

FOCAL = 0.80  # as a multiple of the picture's width: 64 degrees wide
SUPERSAMPLES = 2
Window = tuple[slice, slice, slice]
_NEAR = 0.05  # metres


@dataclass
class Tables:
    """The scenes of a chunk as tensors.

    Attributes:
        values: Name to ``[N, 1]``.
        boxes: ``[B, 6, N, 1]``; those that a scene lacks are out of sight.
        rounds: ``[Q, 9, N, 1]``, the same.
        looks: ``[N * S, 5]``: class, texture, and linear colour of surface s of picture n in
            row ``n * S + s``.
        shapes: ``[N * S, 9]``: the box or quadric of the surface (zeros for the shell).
        surfaces: S, the room's five and the most boxes and rounds of a scene.
        shaders: ``[K, 6, N, 1]``.
    """

    values: dict[str, Tensor]
    boxes: Tensor
    rounds: Tensor
    looks: Tensor
    shapes: Tensor
    surfaces: int
    shaders: Tensor


@dataclass
class Hits:
    """What each ray met, all ``[rows, N, columns]``.

    Attributes:
        depth: Metres along the viewing axis.
        surface: uint8; the room's five (back, left, right, floor, ceiling), boxes, rounds.
        at: x, y, z of the point, in the room's frame.
        direction: x, y, z of the ray, of length 1 along the viewing axis.
    """

    depth: Tensor
    surface: Tensor
    at: tuple[Tensor, Tensor, Tensor]
    direction: tuple[Tensor, Tensor, Tensor]


def tables(scenes: Sequence[Scene], device: torch.device) -> Tables:
    """Collect scenes into tensors; shorter lists are filled with things out of sight."""
    names = sorted({name for scene in scenes for name in scene.values})
    n_boxes = max(len(scene.boxes) for scene in scenes)
    n_rounds = max(len(scene.rounds) for scene in scenes)
    n_shaders = max(len(scene.shaders) for scene in scenes)
    nowhere = (0.0, -9.0, 1.0, 0.0, -9.0, 1.0)
    empty = (0.0, -9.0, 1.0, 1.0, 1.0, 1.0, 0.0, -9.0, -9.0)
    boxes = [_fill(scene.boxes, n_boxes, nowhere) for scene in scenes]
    rounds = [_fill(scene.rounds, n_rounds, empty) for scene in scenes]
    looks, shapes = [], []
    for scene, own_boxes, own_rounds in zip(scenes, boxes, rounds):
        seen = (
            _fill(scene.shell_looks, SURFACES, _PLAIN)
            + _fill(scene.box_looks, n_boxes, _PLAIN)
            + _fill(scene.round_looks, n_rounds, _PLAIN)
        )
        looks.append([(kind, texture, *(c * c for c in rgb)) for kind, texture, rgb in seen])
        shapes.append(
            [(0.0,) * 9] * SURFACES + [(*box, 0.0, 0.0, 0.0) for box in own_boxes] + own_rounds
        )
    surfaces = SURFACES + n_boxes + n_rounds

    def floats(rows: object) -> Tensor:
        return torch.tensor(rows, dtype=torch.float32, device=device)

    def stack(rows: object) -> Tensor:
        return floats(rows).permute(1, 2, 0)[..., None].contiguous()

    columns = floats([[scene.values.get(name, 0.0) for scene in scenes] for name in names])
    return Tables(
        values={name: columns[k][:, None] for k, name in enumerate(names)},
        boxes=stack(boxes),
        rounds=stack(rounds),
        looks=floats(looks).flatten(0, 1),
        shapes=floats(shapes).flatten(0, 1),
        surfaces=surfaces,
        shaders=stack([_fill(scene.shaders, n_shaders, nowhere) for scene in scenes]),
    )


_PLAIN = (0, 0, (0.0, 0.0, 0.0))


def _fill(rows: list, length: int, filler: tuple) -> list:
    return rows + [filler] * (length - len(rows))


def cast(t: Tables, resolution: int) -> Hits:
    """Send ``SUPERSAMPLES`` squared rays through every pixel and keep the nearest surface."""
    v = t.values
    eye = (v["eye_x"], v["height"], -v["distance"])
    direction = _directions(t, resolution)
    inverse = tuple(1 / d for d in direction)
    depth, surface = _shell(v, eye, inverse)
    for k, window in enumerate(windows(t.boxes, v, resolution)):
        if window is not None:
            _box(t.boxes[k], eye, inverse, depth, surface, window, SURFACES + k)
    for k, window in enumerate(windows(_bounds(t.rounds), v, resolution)):
        if window is not None:
            name = SURFACES + len(t.boxes) + k
            _quadric(t.rounds[k], eye, direction, depth, surface, window, name)
    at = tuple(e + d * depth for e, d in zip(eye, direction))
    return Hits(depth, surface, at, direction)  # type: ignore[arg-type]


def _bounds(rounds: Tensor) -> Tensor:
    """The boxes ``[Q, 6, N, 1]`` around quadrics."""
    x, apex, z = rounds[:, 0], rounds[:, 1], rounds[:, 2]
    low, high = rounds[:, 7], rounds[:, 8]
    # a cone is as wide as at its wider end, an ellipsoid as its radius
    reach = torch.maximum((low - apex).abs(), (high - apex).abs())
    cone = (-rounds[:, 4]).clamp(min=0).sqrt() * reach
    wide, deep = (
        torch.maximum(cone, (rounds[:, 6] / rounds[:, axis].clamp(min=1e-6)).sqrt())
        for axis in (3, 5)
    )
    return torch.stack((x - wide, low, z - deep, x + wide, high, z + deep), dim=1)


def _directions(t: Tables, resolution: int) -> tuple[Tensor, Tensor, Tensor]:
    v = t.values
    fine = resolution * SUPERSAMPLES
    steps = torch.arange(fine, dtype=torch.float32, device=v["height"].device)
    grid = (2 * steps + 1 - fine) / fine * (0.5 / FOCAL)
    right = grid * v["sign"]  # [N, columns]
    up = -grid[:, None, None]
    ahead = v["cos_pitch"] - up * v["sin_pitch"]  # along the floor, before turning
    x = ahead * v["sin_yaw"] + right * v["cos_yaw"]
    y = (v["sin_pitch"] + up * v["cos_pitch"]).expand_as(x)
    z = ahead * v["cos_yaw"] - right * v["sin_yaw"]
    return x, y.contiguous(), z


def _shell(
    v: dict[str, Tensor], eye: tuple[Tensor, ...], inverse: tuple[Tensor, ...]
) -> tuple[Tensor, Tensor]:
    half = v["room_width"] / 2
    sides = torch.maximum((half - eye[0]) * inverse[0], (-half - eye[0]) * inverse[0])
    level = torch.maximum((v["room_height"] - eye[1]) * inverse[1], -eye[1] * inverse[1])
    depth = -eye[2] * inverse[2]
    surface = torch.zeros(depth.shape, dtype=torch.uint8, device=depth.device)
    nearer = sides < depth
    surface += nearer * torch.where(inverse[0] < 0, 1, 2).to(torch.uint8)
    depth = torch.minimum(depth, sides)
    nearer = level < depth
    surface = torch.where(nearer, torch.where(inverse[1] < 0, 3, 4).to(torch.uint8), surface)
    return torch.minimum(depth, level), surface


def windows(bounds: Tensor, v: dict[str, Tensor], resolution: int) -> list[Window | None]:
    """Return the rays that can meet each of ``bounds [K, 6, N, 1]`` in any picture, with a margin.

    None where no picture has the box in sight; boxes below the floor stand for absent ones.
    """
    corners = torch.stack([bounds[:, [i, j, k]] for i in (0, 3) for j in (1, 4) for k in (2, 5)])
    x = corners[:, :, 0] - v["eye_x"]
    y = corners[:, :, 1] - v["height"]
    z = corners[:, :, 2] + v["distance"]
    level = x * v["sin_yaw"] + z * v["cos_yaw"]
    ahead = level * v["cos_pitch"] + y * v["sin_pitch"]
    scale = 1 / ahead.clamp(min=_NEAR)
    across = (x * v["cos_yaw"] - z * v["sin_yaw"]) * scale * v["sign"]
    down = (level * v["sin_pitch"] - y * v["cos_pitch"]) * scale
    absent = bounds[:, 1] < -5
    near = (ahead < _NEAR).any(dim=0)
    edges = []
    for place in (down, across):
        low = torch.where(near, -9.0, place.amin(dim=0)).masked_fill(absent, 9.0)
        high = torch.where(near, 9.0, place.amax(dim=0)).masked_fill(absent, -9.0)
        edges += [low.amin(dim=(1, 2)), high.amax(dim=(1, 2))]
    fine = resolution * SUPERSAMPLES
    found: list[Window | None] = []
    for top, bottom, left, right in torch.stack(edges, dim=1).tolist():
        rows, columns = _span(top, bottom, fine), _span(left, right, fine)
        seen = rows.start < rows.stop and columns.start < columns.stop
        found.append((rows, slice(None), columns) if seen else None)
    return found


def _span(low: float, high: float, fine: int) -> slice:
    first, last = ((2 * FOCAL * edge + 1) / 2 * fine for edge in (low, high))
    return slice(max(math.floor(first) - 2, 0), min(math.ceil(last) + 2, fine))


def _box(
    box: Tensor,
    eye: tuple[Tensor, ...],
    inverse: tuple[Tensor, ...],
    depth: Tensor,
    surface: Tensor,
    window: Window,
    name: int,
) -> None:
    x, y, z = (axis[window] for axis in inverse)
    a, b = (box[0] - eye[0]) * x, (box[3] - eye[0]) * x
    enter, leave = torch.minimum(a, b), torch.maximum(a, b)
    a, b = (box[1] - eye[1]) * y, (box[4] - eye[1]) * y
    torch.maximum(enter, torch.minimum(a, b), out=enter)
    torch.minimum(leave, torch.maximum(a, b), out=leave)
    # every ray goes towards the back wall, so the lower z is always entered first
    torch.maximum(enter, torch.mul(box[2] - eye[2], z, out=a), out=enter)
    torch.minimum(leave, torch.mul(box[5] - eye[2], z, out=b), out=leave)
    best = depth[window]
    met = enter < torch.minimum(leave, best, out=leave)
    best.copy_(torch.where(met, enter, best))
    surface[window].masked_fill_(met, name)


def _quadric(
    q: Tensor,
    eye: tuple[Tensor, ...],
    direction: tuple[Tensor, ...],
    depth: Tensor,
    surface: Tensor,
    window: Window,
    name: int,
) -> None:
    d = [axis[window] for axis in direction]
    o = [e - centre for e, centre in zip(eye, q[:3])]
    w = q[3:6]
    square = w[0] * d[0] * d[0] + w[1] * d[1] * d[1] + w[2] * d[2] * d[2]
    half = (w[0] * o[0]) * d[0] + (w[1] * o[1]) * d[1] + (w[2] * o[2]) * d[2]
    rest = w[0] * o[0] * o[0] + w[1] * o[1] * o[1] + w[2] * o[2] * o[2] - q[6]
    root = half * half - square * rest
    real = root >= 0
    root = root.clamp(min=0).sqrt()
    best = depth[window]
    low, high = q[7] - eye[1], q[8] - eye[1]
    one, two = (-half - root) / square, (root - half) / square
    for t in (torch.maximum(one, two), torch.minimum(one, two)):
        y = d[1] * t
        met = real & (t > 0.05) & (y >= low) & (y <= high) & (t < best)
        best.copy_(torch.where(met, t, best))
        surface[window].masked_fill_(met, name)
