"""Codes on their way down a loss: the engine of every search for the code of a picture.

Adam moves a batch of codes, each for itself, and remembers the best place each has been at. Steps
are in units of the space's standard deviations, so that one learning rate serves all spaces; it
rises over the first part of the way and falls over the last:

    code = start + unit * u         u <- Adam(u, d loss / d u, learning_rate * up(t) * down(t))
    up(t) = min(1, t / rampup)      down(t) = 1/2 - 1/2 cos(pi min(1, (1 - t) / rampdown))

Along the way codes may be shaken, a little less with every step (which keeps them from a hole that
is no valley), drawn back to the mean of the prior, held near their start, and helped by noise: the
maps that a generator adds to its layers are then optimised too. Noise that remembers its neighbours
would paint the picture itself, so its correlation at every scale is punished, and each map is
brought back to mean 0 and deviation 1 after every step:

    loss + proximity * mean u^2
         + prior * mean ((code - mean) / unit)^2
         + noise * sum over maps and scales of (mean n n_right)^2 + (mean n n_below)^2

Where no picture of the batch has got better for a while, the rate falls at once: an early end
without the noise of a full rate.

A loss is a function of pictures ``[n, C, H, W]`` and of the indices ``[n]`` that say which of the
target pictures each stands for, and gives ``[n]`` numbers. Inversion, restoration and edits by
words are different losses on this one engine; `steerbench.inversion.search` runs it over several
initial codes and over batches.

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
"""Pictures ``[n, C, H, W]`` and which target each stands for ``[n]`` to losses ``[n]``."""


@dataclass(frozen=True)
class OptimisationConfig:
    """How codes are optimised.

    Attributes:
        n_steps: How many steps at most.
        learning_rate: Of a step, in units (by default the standard deviations of the space).
        rampup, rampdown: Shares of the steps over which the learning rate rises and falls.
        jitter: How much codes are shaken at first, in units; nothing after three quarters.
        prior: The weight of the distance from the mean code; not part of the recorded loss.
        proximity: The weight of the distance from the initial code; part of the recorded loss.
        noise: The weight of the noise's correlations (about 10), where the noise of the layers is
            to be optimised too; None leaves it as it is.
        patience: After so many steps without a better loss, ramp down; None never.
        min_improvement: How much lower, as a share, counts as better.
        precision: ``"exact"``, or ``"fast"`` for half precision where it is quick.
        seed: Of the jitter, and of the samples that initial codes are chosen from.
        unit: Of the numbers of a code; None for the standard deviations of the space.
        batch_size: Pictures at a time.
        warmup_share: The share of the steps that all initial codes of a picture run, before the
            best one goes on alone.
    """

    n_steps: int = 300
    learning_rate: float = 0.1
    rampup: float = 0.05
    rampdown: float = 0.25
    jitter: float = 0.0
    prior: float = 0.0
    proximity: float = 0.0
    noise: float | None = None
    patience: int | None = 50
    min_improvement: float = 1e-3
    precision: str = "exact"
    seed: int = 0
    unit: float | None = None
    batch_size: int = 8
    warmup_share: float = 0.15

    def rate_at(self, t: float) -> float:
        """Return the learning rate at a share ``t`` of the way."""
        return self.learning_rate * schedule(t, self.rampup, self.rampdown)

    def jitter_at(self, t: float) -> float:
        """Return how much codes are shaken at a share ``t`` of the way."""
        return self.jitter * max(0.0, 1 - t / 0.75) ** 2


def schedule(t: float, rampup: float = 0.05, rampdown: float = 0.25) -> float:
    """Return the share of a learning rate: up in a line, level, and down by a cosine.

    Args:
        t: The share of the way that is done, 0 to 1.
        rampup, rampdown: Shares of the way; 0 for none.

    >>> [round(schedule(t), 3) for t in (0.0, 0.025, 0.5, 0.875, 1.0)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    down = min(1.0, (1 - t) / rampdown) if rampdown else 1.0
    up = min(1.0, t / rampup) if rampup else 1.0
    return up * (0.5 - 0.5 * math.cos(math.pi * down))


class CodeOptimiser:
    """A batch of codes on their way.

    Args:
        generator: What draws the pictures.
        start: Codes ``[n, *shape]`` of the space to move in.
        indices: ``[n]`` which target picture each stands for; several codes may share one.
        loss: See `Loss`.
        config: How to go.
        noise: Noise to begin with, by layer, ``[H, W]``; the generator's constant noise by default.

    Attributes:
        best: ``[n, *shape]`` the code with the lowest loss so far, ``best_losses`` ``[n]`` that
            loss, ``best_noise`` its noise.
        losses: ``[n, steps so far]``.
        at: How many steps were made.
    """

    def __init__(
        self,
        generator: BaseGenerator,
        start: Latent,
        indices: Tensor,
        loss: Loss,
        config: OptimisationConfig,
        noise: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.generator = generator
        self.loss = loss
        self.config = config
        self.indices = indices
        self.start = start.detach()
        space = generator.spaces[start.space]
        self.mean = space.mean
        self.unit = _unit(space.std, config.unit, self.start.data)
        self.bounded = generator.prior == "uniform" and space.parent is None
        maps = {} if config.noise is None else (noise or generator.noise_maps())
        self.noise_names = tuple(maps)
        n = len(start)
        offsets = torch.zeros_like(self.start.data)
        copies = [part.detach()[None, None].repeat(n, 1, 1, 1) for part in maps.values()]
        self.adam = _adam([offsets, *copies])
        self.at = 0
        self.rampdown_from: int | None = None
        self.best = self.start.data.clone()
        self.best_noise = [part.clone() for part in copies]
        self.best_losses = torch.full((n,), torch.inf)
        self.marks = self.best_losses.clone()
        self.stale = torch.zeros(n, dtype=torch.long)
        self.losses = torch.empty(n, 0)

    # Going.

    @property
    def is_done(self) -> bool:
        """Whether the way has ended."""
        return self.at >= self.last

    @property
    def last(self) -> int:
        """The step at which it ends."""
        if self.rampdown_from is None:
            return self.config.n_steps
        return min(self.config.n_steps, self.rampdown_from + math.ceil(self._rampdown))

    @property
    def _rampdown(self) -> float:
        return self.config.rampdown * self.config.n_steps

    def progress(self) -> float:
        """Return the share of the way that the learning rate goes by."""
        if self.rampdown_from is None:
            return self.at / self.config.n_steps
        early = self.config.n_steps - self._rampdown - self.rampdown_from
        return (self.at + max(0.0, early)) / self.config.n_steps

    def codes(self) -> Tensor:
        """Return where the codes are now, with their gradient, ``[n, *shape]``."""
        return self.start.data + self.unit * self._parameters[0]

    @torch.enable_grad()
    def step(self) -> tuple[Tensor, Tensor]:
        """Make one step.

        Returns:
            The pictures ``[n, C, H, W]`` from before it, and their losses ``[n]``.
        """
        t = self.progress()
        for group in self.adam.param_groups:
            group["lr"] = self.config.rate_at(t)
        codes = self._jitter(self.codes(), t)
        noise = dict(zip(self.noise_names, self._parameters[1:]))
        images = self._draw(codes, noise)
        losses = self.loss(images, self.indices) + self._proximity(codes)
        self._remember(codes.detach(), losses.detach())
        total = losses.sum() + self._penalty(codes, noise)
        self.adam.zero_grad()
        total.backward()
        for part in self._parameters:
            # One picture that runs away must not take the others with it.
            if part.grad is not None:
                torch.nan_to_num_(part.grad, 0.0, 0.0, 0.0)
        self.adam.step()
        self._project()
        self.at += 1
        return images.detach(), losses.detach()

    def _draw(self, codes: Tensor, noise: Mapping[str, Tensor]) -> Tensor:
        latent = self.start.with_data(codes)
        precision = self.config.precision
        return self.generator.render(latent, noise=noise or "const", precision=precision)

    def _jitter(self, codes: Tensor, t: float) -> Tensor:
        scale = self.config.jitter_at(t)
        if not scale:
            return codes
        # Drawn from the step alone and shared by the batch: no picture depends on its company.
        random = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.at)
        direction = torch.randn(codes.shape[1:], generator=random).to(codes)
        return codes + scale * self.unit * direction

    def _proximity(self, codes: Tensor) -> Tensor | float:
        """Return the weighted distance ``[n]`` from the initial codes."""
        if not self.config.proximity:
            return 0.0
        offsets = (codes - self.start.data) / self.unit
        return self.config.proximity * offsets.square().flatten(1).mean(1)

    def _penalty(self, codes: Tensor, noise: Mapping[str, Tensor]) -> Tensor:
        """Return what is punished beside the loss, over the whole batch."""
        total = codes.new_zeros(())
        if self.config.prior and self.mean is not None:
            away = (codes - self.mean) / self.unit
            total = total + self.config.prior * away.square().flatten(1).mean(1).sum()
        if noise and self.config.noise:
            parts = torch.stack([*map(correlation, noise.values())])
            total = total + self.config.noise * parts.sum()
        return total

    def _remember(self, codes: Tensor, losses: Tensor) -> None:
        losses = torch.where(losses.isfinite(), losses, torch.inf).float().cpu()
        self.losses = torch.cat([self.losses, losses[:, None]], 1)
        lower = losses < self.best_losses
        where = lower.to(codes.device)
        self.best_losses = torch.where(lower, losses, self.best_losses)
        # Rounding may carry a code past the border that it was held to.
        self.best[where] = (codes.clamp(-1, 1) if self.bounded else codes)[where]
        for best, part in zip(self.best_noise, self._parameters[1:]):
            best[where] = part.detach()[where]
        better = losses < self.marks * (1 - self.config.min_improvement)
        self.marks = torch.where(better, losses, self.marks)
        self.stale = torch.where(better, 0, self.stale + 1)
        waited, patience = int(self.stale.min()), self.config.patience
        if patience is not None and self.rampdown_from is None and waited >= patience:
            self.rampdown_from = self.at

    @torch.no_grad()
    def _project(self) -> None:
        """Bring codes back into a bounded prior, and noise to mean 0 and deviation 1."""
        if self.bounded:
            offsets = self._parameters[0]
            offsets.copy_((self.codes().clamp(-1, 1) - self.start.data) / self.unit)
        for part in self._parameters[1:]:
            part -= part.mean(dim=(1, 2, 3), keepdim=True)
            part *= part.square().mean(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12).rsqrt()

    # Choosing, keeping, resuming.

    @property
    def _parameters(self) -> list[Tensor]:
        parameters: list[Tensor] = self.adam.param_groups[0]["params"]
        return parameters

    def keep(self, chosen: Tensor) -> None:
        """Go on with some of the codes only, by their places ``[k]`` in the batch."""
        state = {name: part[chosen.to(part.device)] for name, part in self._rows().items()}
        self.start = self.start[chosen.tolist()]
        self.load_state_dict(state | self._counters())

    def state_dict(self) -> dict[str, Tensor]:
        """Return everything that changes on the way, as tensors by name."""
        return self._rows() | self._counters()

    def _counters(self) -> dict[str, Tensor]:
        begun = -1 if self.rampdown_from is None else self.rampdown_from
        return {"at": torch.tensor(self.at), "rampdown_from": torch.tensor(begun)}

    def _rows(self) -> dict[str, Tensor]:
        """Return all of the state that has one row a code."""
        names = ("indices", "best", "best_losses", "marks", "stale", "losses")
        rows = {name: getattr(self, name) for name in names}
        for index, part in enumerate(self._parameters):
            state = self.adam.state[part]
            nothing = torch.zeros_like(part)
            rows[f"parameter.{index}"] = part.detach()
            rows[f"first.{index}"] = state.get("exp_avg", nothing)
            rows[f"second.{index}"] = state.get("exp_avg_sq", nothing)
        return rows | {f"best_noise.{i}": part for i, part in enumerate(self.best_noise)}

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what `state_dict` gave."""
        for name in ("indices", "best", "best_losses", "marks", "stale", "losses"):
            setattr(self, name, tensors[name].clone())
        count, at = len(self._parameters), int(tensors["at"])
        self.adam = _adam([tensors[f"parameter.{i}"].clone() for i in range(count)])
        for index, part in enumerate(self._parameters):
            self.adam.state[part] = {
                "step": torch.tensor(float(at)),
                "exp_avg": tensors[f"first.{index}"].clone(),
                "exp_avg_sq": tensors[f"second.{index}"].clone(),
            }
        self.best_noise = [tensors[f"best_noise.{i}"].clone() for i in range(count - 1)]
        begun = int(tensors["rampdown_from"])
        self.at, self.rampdown_from = at, None if begun < 0 else begun

    def best_latents(self) -> tuple[Latent, dict[str, Tensor]]:
        """Return the best codes, and the noise ``[n, 1, H, W]`` by layer that belongs to them."""
        latent = replace(self.start, data=self.best, seed=None)
        return latent, dict(zip(self.noise_names, self.best_noise))


def correlation(noise: Tensor) -> Tensor:
    """Return how much noise ``[n, 1, H, W]`` knows of its neighbours, at all scales to 8: ``[n]``.

    At each scale the squared mean products with the neighbour to the right and the one below.
    """
    total = noise.new_zeros(len(noise))
    while True:
        for axis in (2, 3):
            near = noise * noise.roll(1, dims=axis)
            total = total + near.mean(dim=(1, 2, 3)).square()
        if noise.shape[2] <= 8:
            return total
        noise = F.avg_pool2d(noise, 2)


def _adam(parameters: list[Tensor]) -> torch.optim.Adam:
    return torch.optim.Adam([part.requires_grad_() for part in parameters], betas=(0.9, 0.999))


def _unit(std: Tensor | None, unit: float | None, like: Tensor, least: float = 0.1) -> Tensor:
    """Return the unit of a code's numbers; ``least``, of the mean one, lets dead ones move too."""
    if unit is not None or std is None:
        return like.new_tensor(1.0 if unit is None else unit)
    return std.to(like).clamp(min=least * float(std.mean()))


__all__ = ["CodeOptimiser", "Loss", "OptimisationConfig", "correlation", "schedule"]
