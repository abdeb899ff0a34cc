"""Units that spoil pictures: found by switching each off, judged on pictures that it never saw.

Some units draw nothing but blotches, and a generator without them draws better. Whether a unit is
one of them is measured: the Fréchet distance between generated and real pictures in the features of
a network, with the unit and without it, over the same codes:

    d_u = F(G without u, real) - F(G, real)          the more negative, the worse the unit

The ``n_units`` units with the lowest d_u are switched off together, and the distance, the precision
and the recall are measured again with fresh codes against fresh real pictures, beside as many
random units. Choosing the lowest of many noisy numbers flatters them, so only the fresh ones count;
where they show no gain, the generator has no such units (or the sample is too small to tell).

Reference: Bau et al., "GAN Dissection" (2019, arXiv 1811.10597), section 4.4, which found the units
by eye.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from steerbench.errors import ShapeError
from steerbench.generators.base import BaseGenerator
from steerbench.metrics import frechet_distance, precision_recall
from steerbench.supervised.dissection.effects import random_sets
from steerbench.supervised.dissection.partial_forward import PartialForward, layer_of
from steerbench.types import UnitEdit

Features = Callable[[Tensor], Tensor]


class ArtefactUnits:
    """The units of a layer whose removal brings pictures closer to real ones.

    Args:
        features: Pictures ``[N, C, H, W]`` to features ``[N, D]``; for instance the ``features``
            of ``sb.predictor("rooms-attributes-2")``.
        layer: Whose units.
        n_units: How many to switch off together.
        n_samples: How many pictures to choose by.
        n_fresh_samples: How many to measure by; their seeds come after those of choosing.
        n_random: How many random sets to compare with.
        seed: The first seed.
        batch_size: Pictures at a time.

    Attributes:
        units_: A table: ``unit`` and ``change`` of the distance without it, the lowest first.
        quality_: A table of the fresh measurement: for all units ("none" removed), without the
            chosen ones, and without each random set: ``frechet``, ``precision``, ``recall``.
    """

    def __init__(
        self,
        features: Features,
        layer: str = "b16.conv1",
        n_units: int = 8,
        n_samples: int = 500,
        n_fresh_samples: int = 1000,
        n_random: int = 3,
        seed: int = 300_000,
        batch_size: int = 32,
    ) -> None:
        self.features = features
        self.layer = layer
        self.n_units = n_units
        self.n_samples = n_samples
        self.n_fresh_samples = n_fresh_samples
        self.n_random = n_random
        self.seed = seed
        self.batch_size = batch_size

    units_: pd.DataFrame
    quality_: pd.DataFrame

    def fit(self, generator: BaseGenerator, real: Tensor) -> ArtefactUnits:
        """Find them; interrupted, it leaves this object as it was.

        Args:
            generator: The generator.
            real: Real pictures ``[2 * n, C, H, W]``: the first half is used for choosing, the
                second for measuring.

        Raises:
            ShapeError: There are too few real pictures.
            LayerError: There is no such layer.
        """
        count = layer_of(generator, self.layer).channels
        half = len(real) // 2
        if half < 2:
            raise ShapeError(f"Got {len(real)} real pictures; give some hundreds, at least 4.")
        theirs = torch.cat([self.features(part) for part in real.split(self.batch_size)])
        singles: list[Sequence[int]] = [(), *((unit,) for unit in range(count))]
        drawn = self._drawn(generator, singles, self.seed, self.n_samples)
        distances = [frechet_distance(theirs[:half], features) for features in drawn]
        change = pd.Series(distances[1:]) - distances[0]
        order = change.sort_values(kind="stable").index
        chosen = tuple(int(unit) for unit in order[: self.n_units])
        rivals = random_sets(count, chosen, self.n_random, self.seed)
        groups = [(), chosen, *rivals]
        fresh = self._drawn(generator, groups, self.seed + self.n_samples, self.n_fresh_samples)
        names, rows = ["none", "chosen", *["random"] * self.n_random], []
        for name, group, features in zip(names, groups, fresh):
            overlap = precision_recall(theirs[half:], features)
            rows.append(
                {
                    "removed": name,
                    "units": list(group),
                    "frechet": frechet_distance(theirs[half:], features),
                    "precision": overlap.generated_in_real,
                    "recall": overlap.real_in_generated,
                }
            )
        table = pd.DataFrame({"unit": order, "change": change[order].to_numpy()})
        self.__dict__.update(units_=table, quality_=pd.DataFrame(rows))
        return self

    def _drawn(
        self, generator: BaseGenerator, groups: Sequence[Sequence[int]], seed: int, count: int
    ) -> list[Tensor]:
        """Features ``[count, D]`` of the same pictures without each group of units."""
        found: list[list[Tensor]] = [[] for _ in groups]
        firsts = range(0, count, self.batch_size)
        for first in tqdm(firsts, desc=f"without units of {self.layer}", unit="batch", delay=1):
            n = min(self.batch_size, count - first)
            forward = PartialForward(generator, generator.sample(n, seed=seed + first), self.layer)
            for group, features in zip(groups, found):
                edits = [UnitEdit(self.layer, tuple(group))] if group else []
                features.append(self.features(forward.edited(edits)))
        return [torch.cat(features) for features in found]
