"""One direction, tried on the same pictures at several steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from steerbench.metrics.distribution import inside_manifold
from steerbench.metrics.scorecard.observation import (
    Observation,
    Observer,
    changed_share,
    pixel_change,
)
from steerbench.types import Generator, Latent, Traversal

InDistribution = Callable[[Observation], float]
"""How much of the precision of unedited pictures some others have."""


@dataclass(frozen=True, eq=False)
class DirectionTrial:
    """What a direction did to the same pictures.

    Attributes:
        changes: ``[N, attributes]``, up minus down, halved, in the predictor's units.
        pixels: ``[N]``, mean change of pixels of both ways, from 0 to 1.
        changed: ``[N]``, the share of pixels that changed.
        moved: ``[N]``, distance of the features to those of the unedited picture.
        alphas: ``[steps]``, rising, with 0.
        along: ``[steps, M, attributes]``, scores of the first M pictures at those steps.
        precision: ``[steps]``, how much of the precision of unedited pictures is left.
    """

    changes: Tensor
    pixels: Tensor
    changed: Tensor
    moved: Tensor
    alphas: np.ndarray
    along: Tensor
    precision: np.ndarray

    def change_of(self, n: int) -> float:
        """Return the mean change of pixels of the first ``n`` pictures."""
        return float(self.pixels[:n].mean())

    def monotonicity(self, attribute: int) -> float:
        """Compute Spearman's correlation of a score with alpha, without its sign.

        Averaged over pictures, over the steps in the usable range, at least the mildest up and
        down. A picture whose score stays as it is counts as 0.
        """
        low, high = self.usable()
        mildest = np.abs(self.alphas[self.alphas != 0]).min()
        inside = (self.alphas >= min(low, -mildest)) & (self.alphas <= max(high, mildest))
        scores = pd.DataFrame(self.along[inside, :, attribute].double().numpy()).rank()
        with np.errstate(invalid="ignore", divide="ignore"):
            each = scores.corrwith(pd.Series(self.alphas[inside]).rank())
        return float(abs(each.fillna(0.0).mean()))

    def usable(self) -> tuple[float, float]:
        """Find how far down and up pictures stay in the distribution; at most as far as tried."""
        middle = int(np.flatnonzero(self.alphas == 0)[0])
        down = _reach(-self.alphas[middle::-1], self.precision[middle::-1])
        return -down, _reach(self.alphas[middle:], self.precision[middle:])


def _reach(alphas: np.ndarray, precision: np.ndarray, limit: float = 0.5) -> float:
    """Find where the precision falls below the limit, between two steps linearly."""
    below = np.flatnonzero(precision < limit)
    if not len(below):
        return float(alphas[-1])
    i = int(below[0])
    if i == 0:
        return 0.0
    part = (precision[i - 1] - limit) / (precision[i - 1] - precision[i])
    return float(alphas[i - 1] + part * (alphas[i] - alphas[i - 1]))


def try_direction(
    direction: Traversal,
    observe: Observer,
    codes: Latent,
    before: Observation,
    precision: InDistribution,
    *,
    step: float,
    alphas: Sequence[float],
    n_images: int,
) -> DirectionTrial:
    """Edit pictures along a direction.

    Args:
        direction: What to try.
        observe: Renders and reads.
        codes: ``N`` codes of the direction's space.
        before: Their pictures.
        precision: Says how much of the precision some pictures have left.
        step: Alpha of the effect.
        alphas: Further ones, above 0, tried up and down on fewer pictures.
        n_images: How many.
    """
    up, down = observe(codes + step * direction), observe(codes - step * direction)
    observed = {step: up[:n_images], -step: down[:n_images], 0.0: before[:n_images]}
    left = {step: precision(up), -step: precision(down), 0.0: 1.0}
    for alpha in alphas:
        for signed in (alpha, -alpha):
            if signed not in observed:
                observed[signed] = observe(codes[:n_images] + signed * direction)
                left[signed] = precision(observed[signed])
    order = sorted(observed)
    both = (up, down)
    return DirectionTrial(
        changes=(up.scores - down.scores) / 2,
        pixels=_mean([pixel_change(before.pixels, each.pixels) for each in both]),
        changed=_mean([changed_share(before.pixels, each.pixels) for each in both]),
        moved=_mean([(each.features - before.features).norm(dim=1) for each in both]),
        alphas=np.array(order),
        along=torch.stack([observed[alpha].scores for alpha in order]),
        precision=np.array([left[alpha] for alpha in order]),
    )


def _mean(parts: list[Tensor]) -> Tensor:
    return torch.stack(parts).mean(0)


def in_distribution(
    observe: Observer,
    generator: Generator,
    before: Observation,
    seed: int,
    *,
    n_references: int = 256,
    keep: float = 0.5,
) -> InDistribution:
    """Make a function that says how much of the precision of unedited pictures others have.

    Args:
        observe: Renders and reads; it knows what judges.
        generator: Draws the pictures that make the manifold.
        before: The unedited pictures.
        seed: Of the first picture of the manifold.
        n_references: How many pictures make it.
        keep: The part of its balls that count, the smallest; an outlier's holds what broke too.
    """
    if observe.judge == "discriminator" and before.realness is not None:
        middle, spread = before.realness.mean(), before.realness.std().clamp_min(1e-6)
        # Half is left where the mean fell by two standard deviations.
        return lambda some: float(1 + (some.realness.mean() - middle) / spread / 4)  # type: ignore[union-attr]
    reference = observe(generator.sample(n_references, seed=seed)).features

    def inside(features: Tensor) -> float:
        return float(inside_manifold(reference, features, keep=keep).double().mean())

    base = max(inside(before.features), 1 / len(before.features))
    return lambda some: inside(some.features) / base


def typical_distance(features: Tensor) -> float:
    """Compute the mean distance between the features of two different pictures."""
    return float(torch.pdist(features.double()).mean())
