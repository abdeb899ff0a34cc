"""Codes on their way down a loss: the engine of every search for the code of a picture.

Adam moves a batch of codes, each for itself, and remembers the best place each has been at. Steps
are in units of the space's standard deviations, so that one rate serves all spaces; it rises over
the first part of the way and falls over the last:

    code = start + unit * u         u <- Adam(u, d loss / d u, rate * up(t) * down(t))
    up(t) = min(1, t / warm_up)     down(t) = 1/2 - 1/2 cos(pi min(1, (1 - t) / cool_down))

Along the way codes may be shaken, a little less with every step (which keeps them from a hole that
is no valley), drawn back to the mean of the prior, and helped by noise: the maps that a generator
adds to its layers are then optimised too. Noise that remembers its neighbours would paint the
picture itself, so its correlation at every scale is punished, and each map is brought back to
mean 0 and deviation 1 after every step:

    loss + prior * mean ((code - mean) / std)^2
         + maps * sum over maps and scales of (mean n n_right)^2 + (mean n n_below)^2

Where no picture of the batch has got better for a while, the rate falls at once: an early end
without the noise of a full rate.

A loss is a function of pictures ``[n, C, H, W]`` and of the rows ``[n]`` that say which of the
wanted pictures each stands for, and gives ``[n]`` numbers. Inversion, restoration and edits by
words are different losses on this one engine; `search` runs it over starts and batches.

Reference: Karras, Laine, Aittala, Hellsten, Lehtinen, Aila, "Analyzing and Improving the Image
Quality of StyleGAN" (2020, arXiv 1912.04958), appendix D, whose projector this generalises.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench.generators.base import BaseGenerator
from steerbench.types import Latent

Loss = Callable[[Tensor, Tensor], Tensor]
"""Pictures ``[n, C, H, W]`` and which wanted picture each stands for ``[n]`` to losses ``[n]``."""

LEAST_UNIT = 0.1
"""The smallest unit of a number of a code, as a share of the mean one: dead ones may move too."""


@dataclass(frozen=True)
class Plan:
    """How to go down.

    Attributes:
        steps: How many at most.
        rate: Of a step, in units (by default the standard deviations of the space).
        warm_up, cool_down: Shares of the way over which the rate rises and falls.
        jitter: How much codes are shaken at first, in ``unit``; nothing after three quarters.
        prior: The weight of the distance from the mean code.
        maps: The weight of the noise's correlations; None leaves the noise as it is.
        patience: After so many steps without a better loss, cool down; None never.
        better: How much lower, as a share, counts as better.
        precision: ``"exact"`` or ``"fast"``.
        seed: Of the jitter.
        unit: Of the numbers of a code; None for the standard deviations of the space.
    """

    steps: int = 300
    rate: float = 0.1
    warm_up: float = 0.05
    cool_down: float = 0.25
    jitter: float = 0.0
    prior: float = 0.0
    maps: float | None = None
    patience: int | None = 50
    better: float = 1e-3
    precision: str = "exact"
    seed: int = 0
    unit: float | None = None

    def rate_at(self, t: float) -> float:
        """The rate at a share ``t`` of the way."""
        down = min(1.0, (1 - t) / self.cool_down) if self.cool_down else 1.0
        up = min(1.0, t / self.warm_up) if self.warm_up else 1.0
        return self.rate * up * (0.5 - 0.5 * math.cos(math.pi * down))

    def jitter_at(self, t: float) -> float:
        """How much codes are shaken at a share ``t`` of the way."""
        return self.jitter * max(0.0, 1 - t / 0.75) ** 2


class Descent:
    """A batch of codes on their way.

    Args:
        generator: What draws the pictures.
        start: Codes ``[n, *shape]`` of the space to move in.
        rows: ``[n]`` which wanted picture each stands for; several starts may share one.
        loss: See `Loss`.
        plan: How to go.
        maps: Noise to begin with, by layer, ``[H, W]``; the generator's constant noise by default.

    Attributes:
        best: ``[n, *shape]`` the code with the lowest loss so far, ``best_losses`` ``[n]`` that
            loss, ``best_maps`` its noise.
        losses: ``[n, steps so far]``.
    """

    def __init__(
        self,
        generator: BaseGenerator,
        start: Latent,
        rows: Tensor,
        loss: Loss,
        plan: Plan,
        maps: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.generator, self.loss, self.plan, self.rows = generator, loss, plan, rows
        self.start = start.detach()
        space = generator.spaces[start.space]
        self.mean, self.std = space.mean, space.std
        self.unit = _unit(self.std, plan.unit, self.start.data)
        self.bounded = generator.prior == "uniform" and space.parent is None
        moving = [torch.zeros_like(self.start.data)]
        given = {} if plan.maps is None else (maps or generator.noise_maps())
        self.map_names = tuple(given)
        n = len(start)
        moving += [part.detach()[None, None].repeat(n, 1, 1, 1) for part in given.values()]
        self.optimiser = _adam(moving)
        self.at, self.cooling_at = 0, None
        self.best = self.start.data.clone()
        self.best_maps = [part.clone() for part in moving[1:]]
        self.best_losses = torch.full((n,), torch.inf)
        self.marks = self.best_losses.clone()
        self.stale = torch.zeros(n, dtype=torch.long)
        self.losses = torch.empty(n, 0)

    cooling_at: int | None

    # Going.

    @property
    def done(self) -> bool:
        """Whether the way has ended."""
        return self.at >= self.last

    @property
    def last(self) -> int:
        """The step at which it ends."""
        if self.cooling_at is None:
            return self.plan.steps
        return min(self.plan.steps, self.cooling_at + math.ceil(self._cool))

    @property
    def _cool(self) -> float:
        return self.plan.cool_down * self.plan.steps

    def share(self) -> float:
        """The share of the way that the rate goes by."""
        if self.cooling_at is None:
            return self.at / self.plan.steps
        early = self.plan.steps - self._cool - self.cooling_at
        return (self.at + max(0.0, early)) / self.plan.steps

    def codes(self) -> Tensor:
        """Where the codes are now, with their gradient, ``[n, *shape]``."""
        return self.start.data + self.unit * self._moving[0]

    def step(self) -> tuple[Tensor, Tensor]:
        """One step.

        Returns:
            The pictures ``[n, C, H, W]`` from before it, and their losses ``[n]``.
        """
        t = self.share()
        for group in self.optimiser.param_groups:
            group["lr"] = self.plan.rate_at(t)
        codes = self._shaken(self.codes(), t)
        maps = dict(zip(self.map_names, self._moving[1:]))
        images = self._draw(codes, maps)
        losses = self.loss(images, self.rows)
        self._remember(codes.detach(), losses.detach())
        total = losses.sum()
        if self.plan.prior and self.mean is not None:
            away = (codes - self.mean) / self.unit
            total = total + self.plan.prior * away.square().flatten(1).mean(1).sum()
        if maps and self.plan.maps:
            total = total + self.plan.maps * torch.stack([*map(correlation, maps.values())]).sum()
        self.optimiser.zero_grad()
        total.backward()
        for part in self._moving:
            # One picture that runs away must not take the others with it.
            if part.grad is not None:
                torch.nan_to_num_(part.grad, 0.0, 0.0, 0.0)
        self.optimiser.step()
        self._hold()
        self.at += 1
        return images.detach(), losses.detach()

    def _draw(self, codes: Tensor, maps: Mapping[str, Tensor]) -> Tensor:
        latent = self.start.with_data(codes)
        noise = maps if maps else "const"
        return self.generator.render(latent, noise=noise, precision=self.plan.precision)

    def _shaken(self, codes: Tensor, t: float) -> Tensor:
        scale = self.plan.jitter_at(t)
        if not scale:
            return codes
        # Drawn from the step alone and shared by the batch: no picture depends on its company.
        random = torch.Generator().manual_seed(self.plan.seed * 1_000_003 + self.at)
        drawn = torch.randn(codes.shape[1:], generator=random).to(codes)
        return codes + scale * self.unit * drawn

    def _remember(self, codes: Tensor, losses: Tensor) -> None:
        losses = torch.where(losses.isfinite(), losses, torch.inf).float().cpu()
        self.losses = torch.cat([self.losses, losses[:, None]], 1)
        lower = losses < self.best_losses
        where = lower.to(codes.device)
        self.best_losses = torch.where(lower, losses, self.best_losses)
        # Rounding may carry a code past the border that it was held to.
        self.best[where] = (codes.clamp(-1, 1) if self.bounded else codes)[where]
        for kept, part in zip(self.best_maps, self._moving[1:]):
            kept[where] = part.detach()[where]
        much = losses < self.marks * (1 - self.plan.better)
        self.marks = torch.where(much, losses, self.marks)
        self.stale = torch.where(much, 0, self.stale + 1)
        waited, patience = int(self.stale.min()), self.plan.patience
        if patience is not None and self.cooling_at is None and waited >= patience:
            self.cooling_at = self.at

    @torch.no_grad()
    def _hold(self) -> None:
        """Codes inside a bounded prior, maps at mean 0 and deviation 1."""
        if self.bounded:
            moved = self._moving[0]
            moved.copy_(((self.codes()).clamp(-1, 1) - self.start.data) / self.unit)
        for part in self._moving[1:]:
            part -= part.mean(dim=(1, 2, 3), keepdim=True)
            part *= part.square().mean(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12).rsqrt()

    # Choosing, keeping, resuming.

    @property
    def _moving(self) -> list[Tensor]:
        moving: list[Tensor] = self.optimiser.param_groups[0]["params"]
        return moving

    def keep(self, chosen: Tensor) -> None:
        """Go on with some of the codes only."""
        state = {name: part[chosen.to(part.device)] for name, part in self.tensors().items()}
        self.start = self.start[chosen.tolist()]
        self.restore(state, self.at, self.cooling_at)

    def tensors(self) -> dict[str, Tensor]:
        """Everything that changes on the way, one row a code."""
        found = {
            name: getattr(self, name)
            for name in ("rows", "best", "best_losses", "marks", "stale", "losses")
        }
        for index, part in enumerate(self._moving):
            state = self.optimiser.state[part]
            nothing = torch.zeros_like(part)
            found[f"at.{index}"] = part.detach()
            found[f"first.{index}"] = state.get("exp_avg", nothing)
            found[f"second.{index}"] = state.get("exp_avg_sq", nothing)
        return found | {f"map.{i}": part for i, part in enumerate(self.best_maps)}

    def restore(self, tensors: Mapping[str, Tensor], at: int, cooling_at: int | None) -> None:
        """Go on from what `tensors` gave after so many steps."""
        for name in ("rows", "best", "best_losses", "marks", "stale", "losses"):
            setattr(self, name, tensors[name].clone())
        count = len(self._moving)
        self.optimiser = _adam([tensors[f"at.{i}"].clone() for i in range(count)])
        for index, part in enumerate(self._moving):
            self.optimiser.state[part] = {
                "step": torch.tensor(float(at)),
                "exp_avg": tensors[f"first.{index}"].clone(),
                "exp_avg_sq": tensors[f"second.{index}"].clone(),
            }
        self.best_maps = [tensors[f"map.{i}"].clone() for i in range(count - 1)]
        self.at, self.cooling_at = at, cooling_at

    def found(self) -> tuple[Latent, dict[str, Tensor]]:
        """The best codes, and the noise ``[n, 1, H, W]`` by layer that belongs to them."""
        return replace(self.start, data=self.best, seed=None), dict(
            zip(self.map_names, self.best_maps)
        )


def correlation(noise: Tensor) -> Tensor:
    """How much noise ``[n, 1, H, W]`` knows of its neighbours, at all scales down to 8: ``[n]``."""
    total = noise.new_zeros(len(noise))
    while True:
        for axis in (2, 3):
            near = noise * noise.roll(1, dims=axis)
            total = total + near.mean(dim=(1, 2, 3)).square()
        if noise.shape[2] <= 8:
            return total
        noise = F.avg_pool2d(noise, 2)


def _adam(moving: list[Tensor]) -> torch.optim.Adam:
    return torch.optim.Adam([part.requires_grad_() for part in moving], betas=(0.9, 0.999))


def _unit(std: Tensor | None, given: float | None, like: Tensor) -> Tensor:
    if given is not None or std is None:
        return like.new_tensor(1.0 if given is None else given)
    return std.to(like).clamp(min=LEAST_UNIT * float(std.mean()))
