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

import os
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from steerbench.errors import ShapeError
from steerbench.generators.base import BaseGenerator
from steerbench.metrics import frechet_distance, precision_recall, random_units
from steerbench.runs import RunFile
from steerbench.seeds import Codes
from steerbench.supervised.dissection.partial_forward import PartialForward, layer_of, refuse_units
from steerbench.types import UnitEdit

Features = Callable[[Tensor], Tensor]


class ArtefactUnits:
    """The units of a layer whose removal brings pictures closer to real ones.

    Args:
        features: Pictures ``[N, C, H, W]`` to features ``[N, D]``; for instance the ``features``
            of ``sb.bundle(G).judge``.
        layer: Whose units; None for a middle one.
        n_units: How many to switch off together.
        n_samples: How many pictures to choose by.
        n_fresh_samples: How many to measure by; their seeds come after those of choosing.
        n_random: How many random sets to compare with.
        seed: Of the first picture, counted inside the seeds of artefacts (`steerbench.seeds`).
        batch_size: Pictures at a time.

    Attributes:
        units_: A table: ``unit`` and ``change`` of the distance without it, the lowest first.
        quality_: A table of the fresh measurement: for all units ("none" removed), without the
            chosen ones, and without each random set: ``frechet``, ``precision``, ``recall``.
    """

    def __init__(
        self,
        features: Features,
        layer: str | None = None,
        n_units: int = 8,
        n_samples: int = 500,
        n_fresh_samples: int = 1000,
        n_random: int = 3,
        seed: int = 0,
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

    @property
    def _first_seed(self) -> int:
        return Codes.ARTEFACTS + self.seed

    @classmethod
    def refuses(cls, generator: BaseGenerator) -> str | None:
        """Return why it cannot work on a generator, or None."""
        return refuse_units(generator)

    def fit(
        self,
        generator: BaseGenerator,
        real: Tensor,
        state: str | os.PathLike[str] | None = None,
        save_every: float = 30.0,
    ) -> ArtefactUnits:
        """Find them; interrupted, it leaves this object as it was.

        Args:
            generator: The generator.
            real: Real pictures ``[2 * n, C, H, W]``: the first half is used for choosing, the
                second for measuring.
            state: A file from which to go on and into which to write the features so far.
            save_every: Seconds between two writings of the file.

        Raises:
            CapabilityError: No layer of the generator has units with places.
            ShapeError: There are too few real pictures.
            LayerError: There is no such layer.
        """
        layer = layer_of(generator, self.layer)
        half = len(real) // 2
        if half < 2:
            raise ShapeError(f"Got {len(real)} real pictures; give some hundreds, at least 4.")
        theirs = torch.cat([self.features(part) for part in real.split(self.batch_size)])
        file = RunFile(state, "steerbench artefact units", self._settings(generator), save_every)
        known = file.read()
        singles: list[Sequence[int]] = [(), *((unit,) for unit in range(layer.channels))]
        seeds = range(self._first_seed, self._first_seed + self.n_samples)
        known = self._extract(generator, layer.name, singles, seeds, "single", known, file)
        distances = [frechet_distance(theirs[:half], features) for features in known["single"]]
        change = pd.Series(distances[1:]) - distances[0]
        order = change.sort_values(kind="stable").index
        chosen = tuple(int(unit) for unit in order[: self.n_units])
        rivals = random_units(layer.channels, chosen, self.n_random, self._first_seed)
        groups = [(), chosen, *rivals]
        fresh = range(seeds.stop, seeds.stop + self.n_fresh_samples)
        known = self._extract(generator, layer.name, groups, fresh, "group", known, file)
        names = ["none", "chosen", *["random"] * self.n_random]
        rows = [
            {"removed": name, "units": list(group)} | _quality(theirs[half:], features)
            for name, group, features in zip(names, groups, known["group"])
        ]
        table = pd.DataFrame({"unit": order, "change": change[order].to_numpy()})
        self.__dict__.update(units_=table, quality_=pd.DataFrame(rows))
        return self

    def _settings(self, generator: BaseGenerator) -> dict[str, Any]:
        """Return all that decides the features: what a file must agree with to be gone on from."""
        chosen = {k: v for k, v in vars(self).items() if k[-1] != "_" and k != "batch_size"}
        return chosen | {
            "features": getattr(self.features, "__qualname__", type(self.features).__name__),
            "layer": layer_of(generator, self.layer).name,
            "generator": generator.fingerprint,
        }

    def _extract(
        self,
        generator: BaseGenerator,
        layer: str,
        groups: Sequence[Sequence[int]],
        seeds: range,
        key: str,
        known: dict[str, Tensor],
        file: RunFile,
    ) -> dict[str, Tensor]:
        """Extract the features of the same pictures without each group of units.

        Args:
            generator: Draws the pictures.
            layer: Of the units.
            groups: Of units, each switched off on its own.
            seeds: Of the pictures.
            key: Under which the features are.
            known: What was extracted before.
            file: Where it is written.

        Returns:
            What was known, with ``[groups, pictures, D]`` under the key.
        """
        title, done = f"without units of {layer}", known[key].shape[1] if key in known else 0
        for first in tqdm(range(done, len(seeds), self.batch_size), title, unit="batch", delay=1):
            part = seeds[first : first + self.batch_size]
            codes = generator.sample(len(part), seed=part.start)
            forward = PartialForward(generator, codes, layer)
            edits = [[UnitEdit(layer, tuple(group))] if group else [] for group in groups]
            features = torch.stack([self.features(forward.render(edit)) for edit in edits])
            if key in known:
                features = torch.cat([known[key], features], dim=1)
            known = known | {key: features}
            file.write(known)
        return known


def _quality(real: Tensor, features: Tensor) -> dict[str, float]:
    """Return how close features ``[N, D]`` are to those of real pictures."""
    overlap = precision_recall(real, features)
    return {
        "frechet": frechet_distance(real, features),
        "precision": overlap.generated_in_real,
        "recall": overlap.real_in_generated,
    }
