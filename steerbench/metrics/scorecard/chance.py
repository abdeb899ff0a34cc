"""What random directions do at equal picture change: the null that a direction has to beat.

A direction that changes much changes every score a little. So each one is compared with random
directions of its own space and layers, on the same pictures, *at the step at which they change
pixels as much as it does*. A random direction is looked at with two steps, one of them chosen so
that together they span the changes asked for; between them, and down to no step at all, effects
are interpolated linearly in the change of pixels.

Two kinds of random directions: ``"prior"`` takes the difference of two codes of the prior, so that
it goes where codes go (in z this is any direction alike); ``"isotropic"`` takes any direction of
the space alike, most of which the prior hardly uses.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from tqdm.auto import tqdm

from steerbench.errors import SteerbenchError, unknown
from steerbench.metrics.scorecard.looking import Look, Looker, pixel_change
from steerbench.types import Direction, Generator, Latent

KINDS = ("prior", "isotropic")
FAR = 8.0
"""The longest step tried for reaching a change, in units of the first."""


@dataclass(frozen=True, eq=False)
class Chance:
    """Effects of random directions at two changes of pixels each.

    Attributes:
        changes: ``[K, 2]`` mean change of pixels, rising.
        effects: ``[K, 2, attributes]`` in spreads.
    """

    changes: Tensor
    effects: Tensor

    def at(self, change: float) -> Tensor:
        """Effects ``[K, attributes]`` at this mean change of pixels."""
        low, high = self.changes.unbind(1)
        first, second = self.effects.unbind(1)
        inside = (change / low.clamp_min(1e-12)).clamp(max=1)[:, None]
        between = ((change - low) / (high - low).clamp_min(1e-12)).clamp(0, 1)[:, None]
        beyond = (change / high.clamp_min(1e-12)).clamp(min=1)[:, None]
        return (first * inside + (second - first) * between) * beyond


def random_like(
    direction: Direction, generator: Generator, count: int, seed: int, kind: str = "prior"
) -> list[Direction]:
    """Random directions of a direction's space, its step and the rows that it changes.

    Raises:
        SteerbenchError: The kind is not known.
    """
    if kind not in KINDS:
        raise SteerbenchError(unknown("kind of random direction", kind, KINDS))
    shape = direction.vector.shape
    if kind == "prior":
        codes = generator.sample(2 * count, seed=seed, space=direction.space).data.detach()
        vectors = (codes[:count] - codes[count:]).double().cpu()
    else:
        draw = torch.Generator().manual_seed(seed)
        vectors = torch.randn(count, *shape, generator=draw, dtype=torch.float64)
    rows = _rows(direction)
    if rows is not None:
        vectors = vectors * rows
    return [replace(direction, name="random", vector=vector) for vector in vectors]


def _rows(direction: Direction) -> Tensor | None:
    """Which rows of a layer-wise vector are used at all, to multiply with."""
    if not direction.space.endswith("+") or direction.vector.ndim < 2:
        return None
    used = direction.vector.flatten(1).abs().amax(1) > 0
    return used.double().view(-1, *[1] * (direction.vector.ndim - 1))


def chance(
    randoms: list[Direction],
    look: Looker,
    codes: Latent,
    before: Look,
    spread: Tensor,
    changes: tuple[float, float],
    step: float,
    progress: tqdm,
) -> Chance:
    """Look at random directions around the least and the largest change asked for."""
    found: list[list[tuple[float, Tensor]]] = []
    for direction in randoms:
        first = _effect(direction, step, look, codes, before, spread)
        least, most = changes
        # A little further than in proportion, since pictures change ever less.
        goal = most if most > first[0] else least
        factor = (goal / max(first[0], 1e-12)) ** 1.15
        factor = min(max(factor, 1 / FAR), FAR)
        second = _effect(direction, factor * step, look, codes, before, spread)
        found.append(sorted([first, second], key=lambda pair: pair[0]))
        progress.update()
    return Chance(
        torch.tensor([[change for change, _ in pair] for pair in found], dtype=torch.float64),
        torch.stack([torch.stack([effect for _, effect in pair]) for pair in found]),
    )


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


def p_value(value: Tensor, null: Tensor) -> Tensor:
    """The share of the null, and the value itself, that is as large; ``null`` is ``[K, ...]``."""
    return ((null >= value).double().sum(0) + 1) / (len(null) + 1)


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
