"""One direction, tried on the same pictures at several steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from steerbench.metrics.distribution import inside_manifold
from steerbench.metrics.scorecard.observation import Look, Looker, changed_share, pixel_change
from steerbench.types import Direction, Generator, Latent

REFERENCES = 256
"""Unedited pictures whose manifold the edited ones are to stay in."""
SMALL = 0.5
"""The part of the manifold's balls that count, the smallest; an outlier's holds what broke too."""
BROKEN = 0.5
"""The part of the unedited pictures' precision at which a range ends."""
CHANGED = 0.1
"""A pixel counts as changed from this part of its range on."""

Keeps = Callable[[Look], float]


@dataclass(frozen=True, eq=False)
class Trial:
    """What was seen of a direction.

    Attributes:
        changes: ``[N, attributes]``, up minus down, halved, in the predictor's units.
        pixels: ``[N]``, mean change of pixels of both ways, from 0 to 1.
        changed: ``[N]``, the share of pixels that changed.
        moved: ``[N]``, distance of the features to those of the unedited picture.
        alphas: ``[steps]``, rising, with 0.
        along: ``[steps, M, attributes]``, scores of the first M pictures at those steps.
        kept: ``[steps]``, how much of the precision of unedited pictures is left.
    """

    changes: Tensor
    pixels: Tensor
    changed: Tensor
    moved: Tensor
    alphas: np.ndarray
    along: Tensor
    kept: np.ndarray

    def change_of(self, few: int) -> float:
        """The mean change of pixels of the first pictures."""
        return float(self.pixels[:few].mean())

    def monotonicity(self, attribute: int) -> float:
        """Spearman's correlation of a score with alpha, averaged over pictures, without its sign.

        Over the steps in the usable range, at least the mildest up and down. A picture whose score
        stays as it is counts as 0.
        """
        low, high = self.usable()
        mildest = np.abs(self.alphas[self.alphas != 0]).min()
        inside = (self.alphas >= min(low, -mildest)) & (self.alphas <= max(high, mildest))
        scores = pd.DataFrame(self.along[inside, :, attribute].double().numpy()).rank()
        with np.errstate(invalid="ignore", divide="ignore"):
            each = scores.corrwith(pd.Series(self.alphas[inside]).rank())
        return float(abs(each.fillna(0.0).mean()))

    def usable(self) -> tuple[float, float]:
        """How far down and up pictures stay in the distribution; at most as far as was looked."""
        middle = int(np.flatnonzero(self.alphas == 0)[0])
        down = _reach(-self.alphas[middle::-1], self.kept[middle::-1])
        return -down, _reach(self.alphas[middle:], self.kept[middle:])


def _reach(alphas: np.ndarray, kept: np.ndarray) -> float:
    """Where what is kept falls below the limit, between two steps linearly."""
    below = np.flatnonzero(kept < BROKEN)
    if not len(below):
        return float(alphas[-1])
    i = int(below[0])
    if i == 0:
        return 0.0
    part = (kept[i - 1] - BROKEN) / (kept[i - 1] - kept[i])
    return float(alphas[i - 1] + part * (alphas[i] - alphas[i - 1]))


def try_out(
    direction: Direction,
    look: Looker,
    codes: Latent,
    before: Look,
    keeps: Keeps,
    *,
    step: float,
    alphas: Sequence[float],
    few: int,
) -> Trial:
    """Edit pictures along a direction.

    Args:
        direction: What to try.
        look: Renders and reads.
        codes: ``N`` codes of the direction's space.
        before: Their pictures.
        keeps: Says how much of the precision some pictures kept.
        step: Alpha of the effect.
        alphas: Further ones, above 0, tried up and down on fewer pictures.
        few: How many.
    """
    up, down = look(codes + step * direction), look(codes - step * direction)
    seen = {step: up[:few], -step: down[:few], 0.0: before[:few]}
    kept = {step: keeps(up), -step: keeps(down), 0.0: 1.0}
    for alpha in alphas:
        for signed in (alpha, -alpha):
            if signed not in seen:
                seen[signed] = look(codes[:few] + signed * direction)
                kept[signed] = keeps(seen[signed])
    order = sorted(seen)
    both = (up, down)
    return Trial(
        changes=(up.scores - down.scores) / 2,
        pixels=_mean([pixel_change(before.pixels, each.pixels) for each in both]),
        changed=_mean([changed_share(before.pixels, each.pixels, CHANGED) for each in both]),
        moved=_mean([(each.features - before.features).norm(dim=1) for each in both]),
        alphas=np.array(order),
        along=torch.stack([seen[alpha].scores for alpha in order]),
        kept=np.array([kept[alpha] for alpha in order]),
    )


def _mean(parts: list[Tensor]) -> Tensor:
    return torch.stack(parts).mean(0)


def keeper(look: Looker, generator: Generator, before: Look, seed: int) -> Keeps:
    """A function that says how much of the precision of unedited pictures some others have.

    Args:
        look: Renders and reads; it knows what judges.
        generator: Draws the pictures that make the manifold.
        before: The unedited pictures.
        seed: Of the first picture of the manifold.
    """
    if look.judge == "discriminator" and before.realness is not None:
        middle, spread = before.realness.mean(), before.realness.std().clamp_min(1e-6)
        # Half is left where the mean fell by two standard deviations.
        return lambda seen: float(1 + (seen.realness.mean() - middle) / spread / 4)  # type: ignore[union-attr]
    reference = look(generator.sample(REFERENCES, seed=seed)).features

    def inside(features: Tensor) -> float:
        return float(inside_manifold(reference, features, keep=SMALL).double().mean())

    base = max(inside(before.features), 1 / len(before.features))
    return lambda seen: inside(seen.features) / base


def typical_distance(features: Tensor) -> float:
    """The mean distance between the features of two different pictures."""
    return float(torch.pdist(features.double()).mean())
