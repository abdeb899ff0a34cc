"""Levels of detail: what networks that grew with their pictures do when they are not fully grown.

At level 0 the whole network runs. At level 1 the last block is left out and the picture of the
one before is enlarged; between two whole levels both pictures are blended, as while the network
grew.

Reference: Karras, Aila, Laine, Lehtinen, "Progressive Growing of GANs for Improved Quality,
Stability, and Variation" (2017, arXiv 1710.10196).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench.errors import ArgumentError


def shares(resolutions: Iterable[int], level: float) -> dict[int, float | None]:
    """Return blocks that run at a level, each with its picture's share; none where it paints none.

    >>> shares([4, 8, 16], 0.25)
    {4: None, 8: 1.0, 16: 0.75}
    >>> shares([4, 8, 16], 1.0)
    {4: None, 8: 1.0}
    """
    known = sorted(resolutions)
    whole = math.floor(level)
    share = 1 - (level - whole)
    used = known[: len(known) - whole]
    result: dict[int, float | None] = dict.fromkeys(used)
    if share < 1 and len(used) > 1:
        result[used[-2]] = 1.0
    result[used[-1]] = share
    return result


def check_level(level: float, blocks: int, name: str) -> None:
    """Refuse a level that a network of so many blocks does not have.

    Args:
        level: Of detail; 0 is the whole network.
        blocks: How many there are.
        name: Of the generator.
    """
    if not 0 <= level <= blocks - 1:
        raise ArgumentError(
            f"Level {level} was asked for; {name!r} has the levels 0 to {blocks - 1}."
        )


def blend(before: Tensor | None, painted: Tensor, share: float) -> Tensor:
    """Return the picture after a block has painted over the enlarged one before.

    Args:
        before: The picture so far, or none.
        painted: By the block.
        share: Of the new picture in the result.
    """
    if before is None:
        return painted
    return torch.lerp(enlarge(before, painted.shape[-1]), painted, share)


def enlarge(image: Tensor, resolution: int) -> Tensor:
    """Map ``[N, C, H, W]`` to ``[N, C, resolution, resolution]`` by repeating pixels."""
    if image.shape[-1] == resolution:
        return image
    return F.interpolate(image, [resolution, resolution], mode="nearest")


__all__ = ["blend", "check_level", "enlarge", "shares"]
