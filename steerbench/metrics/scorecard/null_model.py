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
from steerbench.metrics.scorecard.observation import Observation, Observer, pixel_change
from steerbench.types import Direction, Latent

Effect = Callable[[Direction, float], tuple[float, Tensor]]
"""The change of pixels and the effects of a direction at a step."""


@dataclass(frozen=True, eq=False)
class NullEffects:
    """Effects of random directions at some changes of pixels.

    Attributes:
        changes: ``[K, levels]`` mean change of pixels.
        effects: ``[K, levels, attributes]`` in spreads.
    """

    changes: Tensor
    effects: Tensor

    def at(self, change: float) -> Tensor:
        """Return the effects ``[K, attributes]`` at this mean change of pixels."""
        ratios = max(change, 1e-12) / self.changes.clamp_min(1e-12)
        nearest = ratios.log().abs().argmin(1)
        each = torch.arange(len(ratios))
        return self.effects[each, nearest] * (change / self.changes[each, nearest, None])


def levels_of(changes: Sequence[float], width: float = 2.5, most: int = 4) -> list[float]:
    """Choose changes of pixels so that each one given is near one of them.

    Args:
        changes: Of the directions that share a null.
        width: The changes that one level stands for, highest over lowest.
        most: How many levels there may be.

    >>> [round(level, 3) for level in levels_of([0.01, 0.012, 0.08])]
    [0.014, 0.057]
    """
    logs = torch.tensor(changes, dtype=torch.float64).clamp_min(1e-9).log()
    low, span = float(logs.min()), float(logs.max() - logs.min())
    count = min(max(1, math.ceil(span / math.log(width))), most)
    step = span / count
    places = [min(int((float(log) - low) / max(step, 1e-12)), count - 1) for log in logs]
    return [math.exp(low + (place + 0.5) * step) for place in sorted(set(places))]


def null_effects(
    randoms: list[Direction],
    observe: Observer,
    codes: Latent,
    before: Observation,
    spread: Tensor,
    levels: Sequence[float],
    step: float,
    progress: tqdm,
    n_pilots: int = 4,
) -> NullEffects:
    """Measure random directions at some changes of pixels, more or less.

    Args:
        randoms: The directions.
        observe: Renders and reads.
        codes: Of the pictures that are edited.
        before: These pictures.
        spread: Of each score, ``[attributes]``.
        levels: The changes of pixels that are wanted.
        step: The alpha that is asked for; where the search for theirs begins.
        progress: Is told of every direction.
        n_pilots: Directions from which the length of steps is guessed for the others.
    """

    def effect(direction: Direction, alpha: float) -> tuple[float, Tensor]:
        both = observe(Latent.cat([codes + alpha * direction, codes - alpha * direction]))
        return effect_of(both[: len(codes)], both[len(codes) :], before, spread)

    rate, bend = _growth(effect, randoms[:n_pilots], step)
    tables: list[list[tuple[float, Tensor]]] = []
    for direction in randoms:
        own, table = rate, []
        for level in levels:
            alpha = _step_for(level, own, bend, step)
            table.append(effect(direction, alpha))
            own = table[-1][0] / alpha**bend
        tables.append(table)
        progress.update()
    return NullEffects(
        torch.tensor([[change for change, _ in table] for table in tables], dtype=torch.float64),
        torch.stack([torch.stack([effects for _, effects in table]) for table in tables]),
    )


def _growth(effect: Effect, pilots: list[Direction], step: float) -> tuple[float, float]:
    """Guess how the change grows with a step: ``rate * alpha ** bend``."""
    low, high = (
        sum(effect(direction, alpha)[0] for direction in pilots) / len(pilots)
        for alpha in (step / 2, 2 * step)
    )
    bend = math.log(max(high, 1e-12) / max(low, 1e-12)) / math.log(4)
    bend = min(max(bend, 0.3), 1.5)
    return math.sqrt(max(low * high, 1e-24)) / step**bend, bend


def _step_for(change: float, rate: float, bend: float, step: float, most: float = 64.0) -> float:
    """Return the step for a change, within so many times the one asked for, up and down."""
    alpha = (change / max(rate, 1e-12)) ** (1 / bend)
    return min(max(alpha, step / most), step * most)


def effect_of(
    up: Observation, down: Observation, before: Observation, spread: Tensor
) -> tuple[float, Tensor]:
    """Compute the mean change of pixels, and of each score in spreads ``[attributes]`` float64.

    Args:
        up: Pictures after a step.
        down: The same after a step the other way.
        before: The same unedited.
        spread: Of each score, ``[attributes]``.
    """
    change = (pixel_change(before.pixels, up.pixels) + pixel_change(before.pixels, down.pixels)) / 2
    effect = (up.scores - down.scores).double().mean(0) / 2 / spread
    return float(change.mean()), effect


def familywise_p_values(effects: Tensor, null: Tensor) -> Tensor:
    """Compute p-values of each attribute's effect, corrected for looking at all of them.

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
