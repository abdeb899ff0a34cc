"""Which channel of StyleSpace does what: the measures of the paper, on plain arrays.

**Where a channel acts.** Its gradient map says how strongly it changes each pixel. Keep as many of
the strongest pixels as a concept's region has, and count what the two share: a channel is local to
a concept if, in most pictures, no other concept is met as well, size for size:

    argmax over concepts of  |map and region| / |region|^2

Dividing by the square rather than by the size prefers small regions, which chance meets less.

**What examples have in common.** Of a few codes whose pictures show an attribute, a channel speaks
for it if it is far from its mean in all of them, in units of its own spread:

    S2N(c) = |mean of z_c| / std of z_c      with      z_c = (s_c - mean_c) / std_c

Reference: Wu, Lischinski, Shechtman, "StyleSpace Analysis: Disentangled Controls for StyleGAN Image
Generation" (2021, arXiv 2011.12799).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from steerbench.errors import LayerError, ShapeError


def overlap(maps: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Return how far the strongest pixels of each map coincide with each region of one picture.

    Args:
        maps: ``[C, H, W]``, not negative, the gradient map of each channel.
        regions: ``[K, H, W]`` of truth values, the pixels of each concept.

    Returns:
        ``[C, K, 3]``: how many pixels both have, either has, and the region has. NaN for a region
        without a pixel.

    >>> maps = np.array([[[3.0, 2.0], [1.0, 0.0]]])
    >>> overlap(maps, np.array([[[True, False], [True, False]]])).tolist()
    [[[1.0, 3.0, 2.0]]]
    """
    if maps.ndim != 3 or regions.ndim != 3 or maps.shape[1:] != regions.shape[1:]:
        raise ShapeError(
            f"Maps of shape {list(maps.shape)} and regions of shape {list(regions.shape)} were "
            "given; expected [C, H, W] and [K, H, W] of one size."
        )
    flat = maps.reshape(len(maps), -1)
    counts = np.full((len(maps), len(regions), 3), np.nan)
    for k, region in enumerate(regions.reshape(len(regions), -1).astype(bool)):
        size = int(region.sum())
        if not size:
            continue
        threshold = np.percentile(flat, (1 - size / region.size) * 100, axis=1)
        strong = flat > threshold[:, None]
        counts[:, k, 0] = (strong & region).sum(1)
        counts[:, k, 1] = (strong | region).sum(1)
        counts[:, k, 2] = size
    return counts


def top_rate(counts: np.ndarray, discount: int = 2) -> np.ndarray:
    """Return in which share of the pictures with a concept each channel meets this one the most.

    Args:
        counts: ``[N, C, K, 3]``, an `overlap` for each picture.
        discount: The power of a region's size that an overlap is divided by.

    Returns:
        ``[C, K]`` in [0, 1]; 0 for concepts that no picture has.
    """
    channels, concepts = counts.shape[1:3]
    rate = counts[..., 0] / counts[..., 2] ** discount
    there = ~np.isnan(rate[:, 0])
    seen = there.any(1)
    best = np.where(np.isnan(rate), -1.0, rate).argmax(2)
    votes = np.zeros((channels, concepts))
    for picture in np.flatnonzero(seen):
        votes[np.arange(channels), best[picture]] += 1
    return votes / np.maximum(there.sum(0), 1)


def signal_to_noise(codes: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Return S2N of each channel over positive examples; channels that never vary have none, 0.

    Args:
        codes: ``[M, C]``, the positive examples, two at least.
        mean: ``[C]``, of all codes.
        std: ``[C]``, of all codes.

    Returns:
        ``[C]`` float64, not negative.

    >>> codes = torch.tensor([[3.0, 1.0], [3.5, -1.0]])
    >>> signal_to_noise(codes, torch.zeros(2), torch.ones(2))
    tensor([13.,  0.], dtype=torch.float64)
    """
    if codes.ndim != 2 or len(codes) < 2:
        raise ShapeError(
            f"Positive codes of shape {list(codes.shape)} were given. Give [M, C], two at least: "
            "what they have in common is judged by how little they differ."
        )
    alive = std > 0
    z = (codes.double() - mean.double()) / torch.where(alive, std.double(), 1.0)
    ratio = z.mean(0).abs() / z.std(0, unbiased=False)
    return torch.where(alive, ratio.nan_to_num(nan=0.0), 0.0)


def locate(slices: Mapping[str, slice], channel: int) -> tuple[str, int]:
    """Return the layer of a number of s, and which of the layer's channels it is.

    >>> locate({"b4.conv1": slice(0, 7), "b8.conv0": slice(7, 12)}, 7)
    ('b8.conv0', 0)

    Raises:
        LayerError: There is no such number.
    """
    for name, part in slices.items():
        if part.start <= channel < part.stop:
            return name, channel - part.start
    size = max((part.stop for part in slices.values()), default=0)
    raise LayerError(f"Channel {channel} was asked for, but s has {size}: 0 to {size - 1}.")
