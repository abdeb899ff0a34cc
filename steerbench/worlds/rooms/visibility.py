"""From which pictures a factor of the world ``rooms`` can be read at all.

A picture of a room at night does not tell how bright the day would be. Where a factor leaves no
trace, an oracle can only guess; so it neither learns nor is judged there. The table below says
for each such factor where it shows, and why. Every other factor shows in every picture.

A thing that is present but outside the frame, or hidden, cannot be told from one that is absent:
presence counts where a thing is absent, or shows in at least a few pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Contents:
    """What is known about pictures: factors ``[N]`` each, and how many pixels a class covers."""

    factors: Mapping[str, Tensor]
    pixels: Mapping[str, Tensor]

    def on(self, name: str) -> Tensor:
        """Return whether a binary factor is 1, ``[N]`` bool."""
        return self.factors[name] > 0.5

    def shows(self, least: int, *classes: str) -> Tensor:
        """Return whether classes cover at least so many of the 64x64 pixels, ``[N]`` bool."""
        return torch.stack([self.pixels[name] for name in classes]).sum(0) >= least

    def absent_or_shows(self, factor: str, least: int, *classes: str) -> Tensor:
        """Return whether a thing is absent, or present and seen, ``[N]`` bool."""
        return ~self.on(factor) | self.shows(least, *classes)


@dataclass(frozen=True)
class Rule:
    """Where a factor shows, and the reason in words."""

    where: Callable[[Contents], Tensor]
    why: str


_OUTSIDE = ("sky", "hill", "tree")

RULES: dict[str, Rule] = {
    "lamp": Rule(lambda v: v.absent_or_shows("lamp", 6, "lamp"), "absent, or in the frame"),
    "window": Rule(
        lambda v: v.absent_or_shows("window", 12, "window", *_OUTSIDE), "absent, or in view"
    ),
    "curtains": Rule(
        lambda v: v.absent_or_shows("curtains", 8, "curtain"), "absent, or in the frame"
    ),
    "picture": Rule(
        lambda v: v.absent_or_shows("picture", 8, "picture"), "absent, or in the frame"
    ),
    "plant": Rule(lambda v: v.absent_or_shows("plant", 8, "plant"), "absent, or in the frame"),
    "rug": Rule(lambda v: v.absent_or_shows("rug", 12, "rug"), "absent, or in the frame"),
    "trees": Rule(
        lambda v: v.shows(24, *_OUTSIDE) & v.absent_or_shows("trees", 6, "tree"),
        "the window shows the outside, and trees that stand there are in the frame",
    ),
    "window_side": Rule(
        lambda v: v.shows(24, "window", *_OUTSIDE, "picture"),
        "the window or the picture (which hangs on the other half) is in view",
    ),
    "ceiling_lightness": Rule(lambda v: v.shows(40, "ceiling"), "the ceiling is in view"),
    "room_height": Rule(lambda v: v.shows(40, "ceiling"), "the ceiling is in view"),
    "accent_hue": Rule(
        lambda v: v.shows(24, "curtain", "rug", "picture") | v.on("bedroom") | v.on("living_room"),
        "curtains, rug, picture, the bed's throw or the sofa's cushion wear it",
    ),
    "window_offset": Rule(lambda v: v.shows(60, "window", *_OUTSIDE), "the window is in view"),
    "window_width": Rule(lambda v: v.shows(60, "window", *_OUTSIDE), "the window is in view"),
    "cloud_cover": Rule(lambda v: v.shows(24, "sky"), "the window shows the sky"),
    "cloud_shift": Rule(
        lambda v: v.shows(40, "sky") & (v.factors["cloud_cover"] > 0.15),
        "the window shows the sky, and there are clouds",
    ),
    "daylight": Rule(lambda v: ~v.on("night"), "it is day"),
    "sun_side": Rule(
        lambda v: v.shows(24, *_OUTSIDE) & (v.factors["cloud_cover"] < 0.85),
        "light falls through a window in view, and the sky is not overcast",
    ),
    "tree_offset": Rule(lambda v: v.shows(12, "tree"), "trees are in view"),
    "lamp_warmth": Rule(lambda v: v.on("lamp_on"), "the lamp is lit"),
    "plant_size": Rule(lambda v: v.shows(24, "plant"), "the plant is in view"),
}


def visibility_mask(
    names: Sequence[str], factors: Mapping[str, Tensor], pixels: Mapping[str, Tensor]
) -> Tensor:
    """Return where each factor shows.

    Args:
        names: Factors of the world, one a column of the result.
        factors: Every factor, ``[N]`` each.
        pixels: For every class, how many of the 64x64 pixels of each picture it covers, ``[N]``.

    Returns:
        ``[N, len(names)]`` bool.

    >>> import steerbench as sb
    >>> room = sb.world("rooms").sample(1, seed=0)
    >>> classes = sb.world("rooms").class_names
    >>> pixels = {name: (room.masks == i).sum((1, 2)) for i, name in enumerate(classes)}
    >>> visibility_mask(["yaw", "daylight", "lamp_warmth"], room.factors, pixels)  # day, lamp off
    tensor([[ True,  True, False]])
    """
    contents = Contents(factors, pixels)
    everywhere = torch.ones(len(next(iter(factors.values()))), dtype=torch.bool)
    columns = [RULES[name].where(contents) if name in RULES else everywhere for name in names]
    return torch.stack(columns, dim=1)
