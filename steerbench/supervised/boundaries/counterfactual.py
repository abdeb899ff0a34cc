"""Whether moving along a boundary's normal brings its attribute: HiGAN's verification.

Fresh codes z_k are read before and after a step of lambda along the unit normal n:

    effect = mean over k of max(F(G(z_k + lambda n)) - F(G(z_k)), 0)

with a bootstrap interval over the codes, beside what random directions of the same space and rows
reach, which is not zero, since only gains count.

Reference: Yang, Shen, Zhou, "Semantic Hierarchy Emerges in Deep Generative Representations for
Scene Synthesis" (2020, arXiv 1911.09267), section 3.2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from steerbench.metrics.null import random_directions
from steerbench.metrics.reading import Reader
from steerbench.stats import bootstrap, wilson
from steerbench.supervised.boundaries.interfacegan import TrainedBoundary
from steerbench.types import Direction, Generator, Latent, format_layers


@dataclass(frozen=True, eq=False)
class BoundaryCandidate:
    """A boundary before it is verified."""

    attribute: str
    column: int
    rows: tuple[int, ...] | None
    trained: TrainedBoundary
    borders: tuple[float, float]
    direction: Direction


class Options(Protocol):
    """What a verification needs to know."""

    seed: int
    n_samples: int
    n_fresh_samples: int
    alpha: float
    n_random: int
    batch_size: int
    precision: str


class Verification:
    """Fresh codes, and what moving them changes.

    Args:
        generator: Draws the pictures.
        base: The space that is moved in.
        reader: Reads them.
        options: ``seed``, ``n_samples``, ``n_fresh_samples``, ``alpha``, ``n_random``,
            ``batch_size`` and ``precision`` of the finder.
    """

    def __init__(self, generator: Generator, base: str, reader: Reader, options: Options) -> None:
        self.options, self.generator, self.base, self.reader = options, generator, base, reader
        first = options.seed + options.n_samples
        self.codes = generator.sample(options.n_fresh_samples, seed=first, space=base)
        self.before = self._scores(self.codes)
        self.spread = self.before.std(0)
        self.one_unit = len(set(reader.units)) == 1

    def _scores(self, codes: Latent) -> Tensor:
        parts = []
        for start in range(0, len(codes), self.options.batch_size):
            part = codes[start : start + self.options.batch_size]
            parts.append(self.reader(self.generator.render(part, precision=self.options.precision)))
        return torch.cat(parts)

    def changes(self, direction: Direction) -> Tensor:
        """Return how every score of every fresh code changes, ``[n_fresh_samples, attributes]``."""
        return self._scores(self.codes + self.options.alpha * direction) - self.before

    def chance(
        self, ranges: Iterable[tuple[int, ...] | None]
    ) -> dict[tuple[int, ...] | None, Tensor]:
        """Return the effect of the strongest of some random directions, for each range of rows."""
        if not self.options.n_random:
            return {}
        drawn = random_directions(
            self.generator,
            self.options.n_random,
            self.base,
            kind="isotropic",
            seed=self.options.seed,
        )
        found = {}
        for rows in sorted(ranges, key=str):
            changes = (self.changes(direction.limited(rows)) for direction in drawn)
            found[rows] = torch.stack([each.clamp(min=0).mean(0) for each in changes]).amax(0)
        return found

    def row(
        self, candidate: BoundaryCandidate, change: Tensor, chance: Tensor | None
    ) -> dict[str, Any]:
        """Return a line of the table, and the strength that ranks it.

        Args:
            candidate: Whose line.
            change: Of every score of every fresh code, ``[n_fresh_samples, attributes]``.
            chance: Of every score, ``[attributes]``; None where nothing was drawn.
        """
        column, trained = candidate.column, candidate.trained
        gains = change[:, column].clamp(min=0)
        effect = float(gains.mean())
        low, high = (float(end) for end in bootstrap(gains[:, None], seed=self.options.seed))
        limit = float("nan") if chance is None else float(chance[column])
        hits = round(trained.accuracy * trained.held_out) if trained.held_out else 0
        accuracy = wilson(hits, trained.held_out) if trained.held_out else (np.nan, np.nan)
        spread = float(self.spread[column])
        return {
            "attribute": candidate.attribute,
            "layers": format_layers(candidate.rows),
            "rank": 0,
            "effect": effect,
            "effect_low": low,
            "effect_high": high,
            "chance": limit,
            "verified": bool(low > limit) if chance is not None else bool(low > 0),
            "accuracy": trained.accuracy,
            "accuracy_low": accuracy[0],
            "accuracy_high": accuracy[1],
            "train_accuracy": trained.train_accuracy,
            "samples": trained.samples,
            "held_out": trained.held_out,
            "correlation": self._correlation(candidate),
            "low": candidate.borders[0],
            "high": candidate.borders[1],
            "note": "",
            "strength": effect if self.one_unit else effect / max(spread, 1e-12),
        }

    def _correlation(self, candidate: BoundaryCandidate) -> float:
        distance = candidate.trained.boundary.distance(self.codes.data).cpu()
        pair = torch.stack([distance, self.before[:, candidate.column].double()])
        return float(torch.corrcoef(pair)[0, 1]) if bool((pair.std(1) > 0).all()) else float("nan")
