"""How each channel of s changes each part of a picture, from products with the Jacobian.

One backward pass tells the slope of one number of the picture, or of any weighted sum of them, to
all channels at once. A picture has fewer parts than s has channels, so passes are made for parts:
for every value of a small picture (`gradient_maps`, exact), or for every patch with random
signs (`energy_maps`, right on average, and three times cheaper).
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench.generators.base import BaseGenerator
from steerbench.types import Latent


def energy_maps(
    generator: BaseGenerator, latent: Latent, *, size: int = 8, seed: int = 0
) -> Tensor:
    """Return estimates of each channel's squared gradient, summed over the pixels of each patch.

    The mean over many codes (or seeds) tends to the exact sum, divided by the number of values in
    a picture.

    Args:
        generator: With a space s.
        latent: Codes in any space that leads to s.
        size: Of the grid of patches.
        seed: Of the signs of the first picture.

    Returns:
        ``[N, channels, size, size]`` float64.
    """
    codes = generator.to(latent, "s").requires_grad_()
    with torch.enable_grad():
        picture = generator.render(codes)
        # A picture's signs are its own, whatever batch it is in.
        shape = tuple(picture.shape[1:])
        drawn = [
            np.random.default_rng(seed + i).choice([-1.0, 1.0], shape) for i in range(len(codes))
        ]
        signs = torch.from_numpy(np.stack(drawn))
        height, width = picture.shape[-2:]
        size = min(size, height, width)
        row = torch.arange(height) * size // height
        column = torch.arange(width) * size // width
        patch = (row[:, None] * size + column).to(picture.device)
        signs = signs.to(picture)
        slopes = [
            torch.autograd.grad(picture, codes.data, signs * (patch == p), retain_graph=True)[0]
            for p in range(size * size)
        ]
    energy = torch.stack([slope.double().cpu() for slope in slopes], dim=2).square()
    return energy.reshape(len(codes), -1, size, size) / picture[0].numel()


def gradient_maps(generator: BaseGenerator, latent: Latent, *, size: int = 16) -> Tensor:
    """Compute how much each channel of s changes each part of the picture: gradient maps.

    The picture is averaged down to ``size`` x ``size``; the absolute derivatives of its colours are
    averaged. Each value of the small picture takes one backward pass, whatever the number of
    channels.

    Args:
        generator: With a space s.
        latent: Codes in any space that leads to s.
        size: Of the small picture.

    Returns:
        ``[N, channels, size, size]`` float32, not negative.
    """
    codes = generator.to(latent, "s").requires_grad_()
    with torch.enable_grad():
        small = F.adaptive_avg_pool2d(generator.render(codes), size)
        values = small.flatten(1)
        slopes = [
            torch.autograd.grad(values[:, i].sum(), codes.data, retain_graph=True)[0].cpu()
            for i in range(values.shape[1])
        ]
    maps = torch.stack(slopes, dim=2).abs()
    return maps.reshape(len(codes), -1, small.shape[1], size, size).mean(2).float()
