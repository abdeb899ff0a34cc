"""What random directions do at equal picture change: the null that a direction has to beat.

A direction that changes much changes every score a little. So each one is compared with random
directions of its own space and layers, on the same pictures, *at the step at which they change
pixels as much as it does*. Where many directions share a space, their changes are put into a few
levels, each random direction takes a step to each level, and is scaled from the nearest one: at
most by a half. It is not interpolated: the mean of two steps stirs less than either, and chance
would look weaker than it is.

What random directions are is in `steerbench.metrics.null`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm.auto import tqdm

from steerbench.metrics.null import p_value
from steerbench.metrics.scorecard.observation import Look, Looker, pixel_change
from steerbench.types import Direction, Latent

WIDTH, LEVELS = 2.5, 4
"""The changes that one level stands for, highest over lowest, and how many levels there may be."""
PILOTS = 4
"""Random directions from which the length of steps is guessed for the others."""
FAR = 64.0
"""The longest step tried for reaching a change, over the one asked for; and the shortest under."""


@dataclass(frozen=True, eq=False)
class Chance:
    """Effects of random directions at some changes of pixels.

    Attributes:
        changes: ``[K, levels]`` mean change of pixels.
        effects: ``[K, levels, attributes]`` in spreads.
    """

    changes: Tensor
    effects: Tensor

    def at(self, change: float) -> Tensor:
        """Effects ``[K, attributes]`` at this mean change of pixels."""
        ratios = max(change, 1e-12) / self.changes.clamp_min(1e-12)
        nearest = ratios.log().abs().argmin(1)
        rows = torch.arange(len(ratios))
        return self.effects[rows, nearest] * (change / self.changes[rows, nearest, None])


def levels_of(changes: Sequence[float]) -> list[float]:
    """Changes of pixels so that each one given is near one of them.

    >>> [round(level, 3) for level in levels_of([0.01, 0.012, 0.08])]
    [0.014, 0.057]
    """
    logs = torch.tensor(changes, dtype=torch.float64).clamp_min(1e-9).log()
    low, span = float(logs.min()), float(logs.max() - logs.min())
    count = min(max(1, math.ceil(span / math.log(WIDTH))), LEVELS)
    width = span / count
    places = [min(int((float(log) - low) / max(width, 1e-12)), count - 1) for log in logs]
    return [math.exp(low + (place + 0.5) * width) for place in sorted(set(places))]


def chance(
    randoms: list[Direction],
    look: Looker,
    codes: Latent,
    before: Look,
    spread: Tensor,
    levels: Sequence[float],
    step: float,
    progress: tqdm,
) -> Chance:
    """Look at random directions at these changes of pixels, more or less."""

    def seen(direction: Direction, alpha: float) -> tuple[float, Tensor]:
        return _effect(direction, alpha, look, codes, before, spread)

    rate, bend = _guess(seen, randoms[:PILOTS], step)
    found: list[list[tuple[float, Tensor]]] = []
    for direction in randoms:
        own, steps = rate, []
        for level in levels:
            alpha = _step_for(level, own, bend, step)
            steps.append(seen(direction, alpha))
            own = steps[-1][0] / alpha**bend
        found.append(steps)
        progress.update()
    return Chance(
        torch.tensor([[change for change, _ in steps] for steps in found], dtype=torch.float64),
        torch.stack([torch.stack([effect for _, effect in steps]) for steps in found]),
    )


def _guess(
    seen: Callable[[Direction, float], tuple[float, Tensor]], pilots: list[Direction], step: float
) -> tuple[float, float]:
    """How the change grows with a step: ``rate * alpha ** bend``."""
    low, high = (
        sum(seen(direction, alpha)[0] for direction in pilots) / len(pilots)
        for alpha in (step / 2, 2 * step)
    )
    bend = math.log(max(high, 1e-12) / max(low, 1e-12)) / math.log(4)
    bend = min(max(bend, 0.3), 1.5)
    return math.sqrt(max(low * high, 1e-24)) / step**bend, bend


def _step_for(change: float, rate: float, bend: float, step: float) -> float:
    alpha = (change / max(rate, 1e-12)) ** (1 / bend)
    return min(max(alpha, step / FAR), step * FAR)


def _effect(
    direction: Direction, step: float, look: Looker, codes: Latent, before: Look, spread: Tensor
) -> tuple[float, Tensor]:
    both = look(Latent.cat([codes + step * direction, codes - step * direction]))
    n = len(codes)
    return effect_of(both[:n], both[n:], before, spread)


def effect_of(up: Look, down: Look, before: Look, spread: Tensor) -> tuple[float, Tensor]:
    """The mean change of pixels, and of each score in spreads ``[attributes]`` float64."""
    moved = (pixel_change(before.pixels, up.pixels) + pixel_change(before.pixels, down.pixels)) / 2
    effect = (up.scores - down.scores).double().mean(0) / 2 / spread
    return float(moved.mean()), effect


def adjusted(effects: Tensor, null: Tensor) -> Tensor:
    """P-values of each attribute's effect, corrected for looking at all of them.

    Attributes are put on one scale by their root mean square over the random directions and the
    direction itself, and each is held against the largest of every random direction (Westfall and
    Young's single step), which keeps the chance of any false alarm for a direction at the level.

    Args:
        effects: ``[attributes]``.
        null: ``[K, attributes]``.
    """
    scale = torch.cat([null, effects[None]]).square().mean(0).sqrt().clamp_min(1e-12)
    largest = (null.abs() / scale).amax(1)
    return p_value((effects.abs() / scale), largest[:, None])
