"""All units of a layer on one sheet: where each tile lies, and what is drawn in it.

Units stand under the concept that they match best, the best first, concepts with the best units
first; those that match nothing stand last. Each tile is the unit's activation over one picture,
from dark (0 or less) to bright (its level and more).

>>> sheet = Sheet.of([("lamp", (3, 14)), ("rug", (15,))], width=200)
>>> sheet.tile, sheet.place[14], sheet.unit_at(*sheet.place[14])
(48, (50, 20), 14)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

Groups = list[tuple[str, tuple[int, ...]]]

MATCHES = 0.04
"""The least IoU with which a unit counts as matching a concept, after Bau et al."""
NOTHING = "no concept"
TILES = (48, 40, 32, 24, 16)
"""Sides of a tile, in pixels; the first that leaves the sheet lower than `HIGH`."""
HIGH, GAP, BETWEEN = 560, 2, 10
HEADING, LETTER = 20, 7
"""The height of a heading, and the width of a letter in it, about."""


@dataclass(frozen=True)
class Sheet:
    """Where everything lies, in pixels.

    Attributes:
        width, height: The sheet's.
        tile: The side of a tile.
        place: The upper left corner of each unit's tile, x and y.
        headings: Texts, each with its x and the y of its middle.
    """

    width: int
    height: int
    tile: int
    place: dict[int, tuple[int, int]]
    headings: tuple[tuple[str, int, int], ...]

    @classmethod
    def of(cls, groups: Groups, width: int) -> Sheet:
        """Lay out groups of units."""
        for tile in TILES:
            sheet = cls._with_tiles(groups, width, tile)
            if sheet.height <= HIGH:
                break
        return sheet

    @classmethod
    def _with_tiles(cls, groups: Groups, width: int, tile: int) -> Sheet:
        place, headings, step = {}, [], tile + GAP
        most = max(1, (width + GAP) // step)
        x = top = low = 0  # the next block's corner, and the lowest point of its shelf
        for name, units in groups:
            text = f"{name} ({len(units)})" if name else ""
            columns = min(len(units), most)
            block = max(columns * step, LETTER * len(text))
            if x and x + block - GAP > width:
                x, top = 0, low
            y = top + (HEADING if text else 0)
            if text:
                headings.append((text, x, top + HEADING // 2))
            for i, unit in enumerate(units):
                place[unit] = (x + i % columns * step, y + i // columns * step)
            low = max(low, y + math.ceil(len(units) / columns) * step)
            x += block + BETWEEN
        return cls(width, low, tile, place, tuple(headings))

    def unit_at(self, x: float, y: float) -> int | None:
        """The unit whose tile holds a point; None between and beside them."""
        for unit, (left, top) in self.place.items():
            if left <= x < left + self.tile and top <= y < top + self.tile:
                return unit
        return None

    def picture(self, heat: Tensor) -> np.ndarray:
        """All tiles, ``[height, width, 4]`` uint8, clear between them.

        Args:
            heat: ``[units, h, w]``, 1 where an activation reaches its level.
        """
        size = (self.tile, self.tile)
        mode = "area" if min(heat.shape[-2:]) > self.tile else "bilinear"
        tiles = heat_colours(F.interpolate(heat[:, None], size=size, mode=mode)[:, 0])
        sheet = np.zeros((self.height, self.width, 4), np.uint8)
        for unit, (x, y) in self.place.items():
            sheet[y : y + self.tile, x : x + self.tile, :3] = tiles[unit]
            sheet[y : y + self.tile, x : x + self.tile, 3] = 255
        return sheet


def by_concept(table: pd.DataFrame | None, channels: int) -> tuple[Groups, pd.DataFrame]:
    """The units of a layer in groups, and the best concept of each that matches one.

    Args:
        table: Rows of ``unit``, ``concept``, ``iou``; None where nothing is known.
        channels: How many units there are.

    Returns:
        The groups in order, and a table by unit of ``concept`` and ``iou``.
    """
    if table is None:
        return [("", tuple(range(channels)))], pd.DataFrame(columns=["concept", "iou"])
    best = table.sort_values("iou", ascending=False, kind="stable").drop_duplicates("unit")
    best = best.set_index("unit")[["concept", "iou"]]
    matching = best[best["iou"] >= MATCHES]
    groups: Groups = [
        (str(concept), tuple(int(unit) for unit in rows.index))
        for concept, rows in matching.groupby("concept", sort=False)
    ]
    rest = tuple(unit for unit in range(channels) if unit not in matching.index)
    return [*groups, *([(NOTHING, rest)] if rest else [])], best


def relative_activations(activation: Tensor, levels: Sequence[float] | None) -> Tensor:
    """Activations ``[units, h, w]`` as shares of each unit's level.

    Where levels are not known, and where one is not above zero, a unit's own largest activation in
    this picture takes its place.
    """
    largest = activation.flatten(1).amax(1)
    level = largest if levels is None else torch.tensor(levels).to(largest)
    level = torch.where(level > 0, level, largest).clamp_min(1e-12)
    return activation / level[:, None, None]


def heat_colours(heat: Tensor) -> np.ndarray:
    """Heat, clipped to 0 to 1, as colours ``[..., 3]`` uint8."""
    steps = (heat.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    return _colours()[steps]


def overlay_heat(image: Tensor, heat: Tensor) -> Tensor:
    """A picture with one unit's activation over it.

    Args:
        image: ``[C, H, W]`` in [-1, 1].
        heat: ``[h, w]``, 1 where the activation reaches its level.

    Returns:
        ``[3, H, W]`` in [-1, 1].
    """
    grey = image.clamp(-1, 1).mean(0, keepdim=True).expand(3, -1, -1)
    large = F.interpolate(heat[None, None], size=image.shape[-2:], mode="bilinear")[0, 0]
    colours = torch.from_numpy(heat_colours(large)).to(grey).permute(2, 0, 1) / 127.5 - 1
    return torch.lerp(0.6 * grey - 0.2, colours, 0.85 * large.clamp(0, 1))


@cache
def _colours() -> np.ndarray:
    from matplotlib import colormaps

    return (colormaps["inferno"](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
