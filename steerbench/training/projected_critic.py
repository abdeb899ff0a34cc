"""A discriminator that looks at pictures both plainly and through features learned before.

A discriminator from scratch must first learn what a bed is. Here a frozen network that already
reads rooms projects each picture to features at several scales, a small head on each judges them,
and a plain discriminator beside them watches what such features pass over: single pixels, and
(through the spread over a group of the batch) a lack of variety, which feature heads alone miss.
The generator receives the gradient of all the judges; labels only ever reached the frozen network.

Reference: Sauer, Chitta, Müller, Geiger, "Projected GANs Converge Faster" (2021,
arXiv 2111.01007).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steerbench.generators.stylegan2.discriminator import Conv, Discriminator
from steerbench.generators.stylegan2.layers import Dense
from steerbench.predictors import oracle
from steerbench.predictors.attributes import RESOLUTION

FINEST = 16
"""Features are judged from this resolution down; the plain judge watches what is finer."""


class FeatureHead(nn.Module):
    """Features ``[N, C, H, W]`` of one scale to a realness logit ``[N]``."""

    def __init__(self, channels: int, resolution: int, width: int) -> None:
        super().__init__()
        self.enter = Conv(channels, width, 1)
        halvings = [Conv(width, width, 3) for _ in range(resolution.bit_length() - 3)]
        self.halvings = nn.ModuleList(halvings)
        self.conv = Conv(width + 1, width, 3)
        self.fc = Dense(width * 16, width, activate=True)
        self.out = Dense(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        for conv in self.halvings:
            x = F.avg_pool2d(conv(x), 2)
        x = self.conv(torch.cat([x, spread(x)], dim=1))
        logit: Tensor = self.out(self.fc(x.flatten(1).float()))[:, 0]
        return logit


def spread(x: Tensor, group: int = 4) -> Tensor:
    """Compute the deviation over groups of the batch as one more channel, ``[N, 1, H, W]``."""
    n, c, h, w = x.shape
    group = group if n % group == 0 else 1
    y = x.float().reshape(group, n // group, c, h, w)
    value = (y.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))
    return value.to(x.dtype).repeat(group)[:, None, None, None].expand(n, 1, h, w)


class ProjectedDiscriminator(nn.Module):
    """Several judges of one picture: ``[N, C, H, W]`` to logits ``[N, judges]``.

    Args:
        trunk: The frozen feature network, a chain of modules; its outputs at ``scales`` are read.
        scales: Indices into the chain, with the resolution and channels of each output.
        widths: Of the plain discriminator.
        head_width: Channels of the feature heads.
    """

    def __init__(
        self,
        trunk: nn.Sequential,
        scales: Sequence[tuple[int, int, int]],
        *,
        widths: Mapping[int, int],
        head_width: int = 64,
    ) -> None:
        super().__init__()
        # Kept out of the module tree: it is not trained, saved or moved with the judges.
        self._trunk = [trunk.eval().requires_grad_(False)]
        self._scales = [index for index, _, _ in scales]
        self.plain = Discriminator(widths=widths)
        self.heads = nn.ModuleList(
            FeatureHead(channels, resolution, head_width) for _, resolution, channels in scales
        )

    def projections(self, images: Tensor) -> list[Tensor]:
        """Return the frozen features of pictures, one tensor a scale."""
        found, x = [], images
        trunk = self._trunk[0].to(device=images.device, dtype=images.dtype)
        for index, module in enumerate(trunk):
            x = module(x)
            if index in self._scales:
                found.append(x)
        return found

    def forward(
        self, images: Tensor, dtype: torch.dtype | None = None, share: float = 1.0
    ) -> Tensor:
        """Smaller pictures are enlarged for the frozen network; ``share`` as in the plain one."""
        plain = self.plain(images, dtype, share)
        inputs = images if dtype is None else images.to(dtype)
        if inputs.shape[-1] < RESOLUTION:
            inputs = F.interpolate(inputs, RESOLUTION, mode="nearest")
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        logits = [head(x) for head, x in zip(self.heads, self.projections(inputs))]
        return torch.stack([plain, *logits], dim=1)


def feature_trunk(name: str) -> tuple[nn.Sequential, list[tuple[int, int, int]]]:
    """Return an oracle's convolutions, and each scale's last: (index, resolution, channels)."""
    trunk = copy.deepcopy(oracle(name).network.trunk)
    last: dict[int, tuple[int, int, int]] = {}
    with torch.no_grad():
        x = torch.zeros(1, 3, RESOLUTION, RESOLUTION)
        for index, module in enumerate(trunk):
            x = module(x)
            last[x.shape[-1]] = (index, x.shape[-1], x.shape[1])
    return trunk, [entry for resolution, entry in last.items() if resolution <= FINEST]
