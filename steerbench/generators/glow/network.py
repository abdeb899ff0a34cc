"""The network of a Glow: steps of flow, levels, and the way from a picture to its code.

The equations, the conventions and the reference stand in `steerbench.generators.glow`.
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class OnesConv(nn.Module):
    """A 3x3 convolution padded with ones, then a learned gain; zero before it is trained."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3)
        self.scale = nn.Parameter(torch.zeros(outputs, 1, 1))
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(cast(Tensor, self.conv.bias))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[N, inputs, H, W]`` to ``[N, outputs, H, W]``."""
        out: Tensor = self.conv(F.pad(x, [1, 1, 1, 1], value=1.0))
        return out * torch.exp(3 * self.scale)


class Step(nn.Module):
    """One step of flow on ``[N, C, H, W]``, in both directions."""

    def __init__(self, channels: int, *, width: int, affine: bool) -> None:
        super().__init__()
        half = channels // 2
        self.affine = affine
        self.loc = nn.Parameter(torch.zeros(channels, 1, 1))
        self.scale = nn.Parameter(torch.ones(channels, 1, 1))
        self.weight = nn.Parameter(torch.empty(channels, channels))
        self.net = nn.Sequential(
            nn.Conv2d(half, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 1),
            nn.ReLU(),
            OnesConv(width, channels if affine else half),
        )
        nn.init.orthogonal_(self.weight)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Step towards the code: return x, and the logarithm of the determinant ``[N]``."""
        pixels = x.shape[-2] * x.shape[-1]
        x = F.conv2d(self.scale * (x + self.loc), self.weight[:, :, None, None])
        linear = self.scale.abs().log().sum() + torch.linalg.slogdet(self.weight.double())[1]
        kept, moved = x.chunk(2, dim=1)
        gain, shift = self._coupling(kept)
        moved = gain.exp() * (moved + shift)
        logdet = gain.flatten(1).sum(dim=1) + (pixels * linear).to(x)
        return torch.cat([kept, moved], dim=1), logdet

    def inverse(self, y: Tensor) -> Tensor:
        """Step towards the picture."""
        kept, moved = y.chunk(2, dim=1)
        gain, shift = self._coupling(kept)
        y = torch.cat([kept, moved * (-gain).exp() - shift], dim=1)
        weight = torch.linalg.inv(self.weight.double()).to(y.dtype)
        return F.conv2d(y, weight[:, :, None, None]) / self.scale - self.loc

    def _coupling(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logarithm of the gain, and the shift, of the half that changes."""
        out = self.net(kept)
        if not self.affine:
            return torch.zeros_like(out), out
        gain, shift = out.chunk(2, dim=1)
        return F.logsigmoid(gain + 2), shift


class Level(nn.Module):
    """The steps at one size, and the prior of the part of the code that leaves there."""

    def __init__(self, channels: int, *, flows: int, width: int, affine: bool, last: bool) -> None:
        super().__init__()
        self.last = last
        self.flows = nn.ModuleList(Step(channels, width=width, affine=affine) for _ in range(flows))
        leaving = channels if last else channels // 2
        self.prior = OnesConv(leaving, 2 * leaving)

    def step(self, place: int) -> Step:
        """Return a step by its place."""
        return cast(Step, self.flows[place])

    def moments(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log deviation of the leaving part, from what goes on (else zeros)."""
        mean, log_std = self.prior(context).chunk(2, dim=1)
        return mean, log_std

    def join(self, going_on: Tensor | None, z: Tensor) -> Tensor:
        """Return the activation at the end of the level, from what went on and the code."""
        context = torch.zeros_like(z) if going_on is None else going_on
        mean, log_std = self.moments(context)
        raw = mean + log_std.exp() * z
        return raw if going_on is None else torch.cat([going_on, raw], dim=1)


class GlowNetwork(nn.Module):
    """The trainable part; its pictures lie in [-0.5, 0.5].

    Args:
        channels: Of the picture.
        flows: Steps in each level.
        levels: How often the picture is squeezed.
        width: Channels inside the couplings.
        affine: Whether couplings also scale.
    """

    def __init__(
        self, *, channels: int = 3, flows: int, levels: int, width: int = 512, affine: bool = True
    ) -> None:
        super().__init__()
        self.channels, self.n_flows, self.width, self.affine = channels, flows, width, affine
        self.levels = nn.ModuleList(
            Level(
                4 * channels * 2**place,
                flows=flows,
                width=width,
                affine=affine,
                last=place == levels - 1,
            )
            for place in range(levels)
        )

    def level(self, place: int) -> Level:
        """Return a level by its place, the finest first."""
        return cast(Level, self.levels[place])

    def find_singular(self) -> str:
        """Return the first step that cannot unmix its channels, as published files name it."""
        for place in range(len(self.levels)):
            for step in range(self.n_flows):
                weight = self.level(place).step(step).weight.detach()
                rounding = len(weight) * torch.finfo(weight.dtype).eps
                if torch.linalg.matrix_rank(weight.double(), rtol=rounding) < len(weight):
                    return f"blocks.{place}.flows.{step}"
        return ""

    def forward(self, x: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor, Tensor]:
        """Return pictures to their code.

        Returns:
            The levels' parts of the code standardised, the same as they left, the log density of
            the latter ``[N]``, and the logarithm of the determinant ``[N]``; the sum of these two
            is the log density of the picture, in nats.
        """
        parts, raws = [], []
        log_p = logdet = x.new_zeros(len(x))
        for place in range(len(self.levels)):
            level = self.level(place)
            x = squeeze(x)
            for step in level.flows:
                x, change = step(x)
                logdet = logdet + change
            x, raw = (torch.zeros_like(x), x) if level.last else x.chunk(2, dim=1)
            mean, log_std = level.moments(x)
            z = (raw - mean) * (-log_std).exp()
            log_p = log_p + (normal_log_density(z) - log_std).flatten(1).sum(dim=1)
            parts.append(z)
            raws.append(raw)
        return parts, raws, log_p, logdet


def squeeze(x: Tensor) -> Tensor:
    """Map ``[N, C, H, W]`` to ``[N, 4C, H/2, W/2]``; the four pixels of a channel stay together."""
    return F.pixel_unshuffle(x, 2)


def normal_log_density(z: Tensor) -> Tensor:
    """Return log densities of the standard normal, number by number, in nats."""
    return -0.5 * (z.square() + math.log(2 * math.pi))
