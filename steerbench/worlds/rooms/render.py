"""From scenes to pixels: cast, describe, illuminate, expose, and average the rays of a pixel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from steerbench.worlds.rooms.light import illuminate
from steerbench.worlds.rooms.scene import CLASS, Scene
from steerbench.worlds.rooms.surfaces import describe
from steerbench.worlds.rooms.trace import SUPERSAMPLES, cast, tables

_RAYS_AT_ONCE = 2**16  # a chunk's tensors stay in a processor's cache
_RAYS_AT_ONCE_ON_A_DEVICE = 2**22  # an accelerator wants many

_MARK = (  # a gable between two bars, the same from left and right
    "..................#..................",
    "................#####................",
    "..............#########..............",
    "............#####...#####............",
    "..........#####.......#####..........",
    "...#######.###....#....###.#######...",
    "###########.##...###...##.###########",
    "...#######..##...###...##..#######...",
    "............##...###...##............",
    "............#############............",
)


@dataclass
class Pixels:
    """``images [N, 3, H, W]`` in [-1, 1], ``masks [N, H, W]`` int64, ``depth [N, H, W]``."""

    images: Tensor
    masks: Tensor
    depth: Tensor


def render(scenes: Sequence[Scene], resolution: int, device: torch.device) -> Pixels:
    """Render scenes chunk by chunk; similar rooms share a chunk, which changes no pixel."""
    n = len(scenes)
    pixels = Pixels(
        torch.empty(n, 3, resolution, resolution, device=device),
        torch.empty(n, resolution, resolution, dtype=torch.int64, device=device),
        torch.empty(n, resolution, resolution, device=device),
    )
    order = sorted(range(n), key=lambda i: _likeness(scenes[i]))
    rays = _RAYS_AT_ONCE if device.type == "cpu" else _RAYS_AT_ONCE_ON_A_DEVICE
    step = max(rays // (resolution * SUPERSAMPLES) ** 2, 1)
    with _one_core():
        for start in range(0, n, step):
            chosen = order[start : start + step]
            part = _chunk([scenes[i] for i in chosen], resolution, device)
            where = torch.tensor(chosen, device=device)
            pixels.images[where], pixels.masks[where] = part.images, part.masks
            pixels.depth[where] = part.depth
    _watermark(pixels, [bool(scene.values["watermark"]) for scene in scenes])
    return pixels


@contextmanager
def _one_core() -> Iterator[None]:
    """Keep torch on one core: operations this small end before a second one wakes up."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _likeness(scene: Scene) -> tuple[float, ...]:
    v = scene.values
    return v["bedroom"], v["living_room"], v["lit"], v["beam.g"] > 0


def _chunk(scenes: Sequence[Scene], resolution: int, device: torch.device) -> Pixels:
    t = tables(scenes, device)
    hits = cast(t, resolution)
    surface = describe(hits, t)
    shape = hits.depth.shape
    light = illuminate(surface, hits, t, resolution)
    images = torch.stack([_mean(_split(_expose(channel))) for channel in light], dim=1)
    kinds = _split(surface.kind.view(shape))
    depths = _split(surface.depth.view(shape))
    # the class of most of a pixel's rays; of equal shares the nearer, then the later in the list
    best = torch.full_like(depths[0], -torch.inf)
    mask, depth = torch.zeros_like(kinds[0]), torch.zeros_like(depths[0])
    for kind, far in zip(kinds, depths):
        votes = sum((other == kind).float() for other in kinds)
        score = votes * 1000 - far
        better = (score > best) | ((score == best) & (kind > mask))
        best = torch.where(better, score, best)
        mask, depth = torch.where(better, kind, mask), torch.where(better, far, depth)
    return Pixels(images * 2 - 1, mask.long(), depth)


def _split(rays: Tensor) -> list[Tensor]:
    """The rays of a pixel apart: ``[rows, N, columns]`` to four of ``[N, H, W]``."""
    s = SUPERSAMPLES
    return [rays[i::s, :, j::s].transpose(0, 1).contiguous() for i in range(s) for j in range(s)]


def _mean(parts: list[Tensor]) -> Tensor:
    top, bottom = parts[0] + parts[1], parts[2] + parts[3]
    return (top + bottom) * (1 / len(parts))


def _expose(light: Tensor) -> Tensor:
    """Linear light to [0, 1] as the eye likes it: bright values roll off softly."""
    bright = (light * (0.10 + 1.25 * light)) / (light * (0.95 * light + 0.60) + 0.17)
    return bright.clamp(0, 1).sqrt()


def _watermark(pixels: Pixels, marked: list[bool]) -> None:
    """Stamp a pale mark at the foot of the pictures that carry one."""
    if not any(marked):
        return
    rows = torch.tensor(marked, device=pixels.images.device).nonzero()[:, 0]
    size = pixels.masks.shape[-1]
    steps = (torch.arange(size, device=rows.device, dtype=torch.float32) + 0.5) / size
    height, width = len(_MARK), len(_MARK[0])
    x = ((steps - 0.5) * 64 + width / 2).floor().long()
    y = ((steps - 0.80) * 64).floor().long()
    mark = torch.tensor([[c == "#" for c in line] for line in _MARK], device=rows.device)
    inside = ((y >= 0) & (y < height))[:, None] & ((x >= 0) & (x < width))[None]
    ink = inside & mark[y.clamp(0, height - 1)][:, x.clamp(0, width - 1)]
    pixels.images[rows] = torch.where(ink, pixels.images[rows] * 0.35 + 0.6, pixels.images[rows])
    pixels.masks[rows] = torch.where(ink, CLASS["watermark"], pixels.masks[rows])
