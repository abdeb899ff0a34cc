"""What the first walk through the pictures of a dissection learns, and the file of a long run."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pandas as pd
from torch import Tensor

from steerbench import store
from steerbench.errors import ArgumentError
from steerbench.stats import Quantile, TopK, units_as_columns
from steerbench.supervised.dissection.overlap import UnitOverlap
from steerbench.types import Latent

KIND = "steerbench dissection run"


class Survey:
    """Quantiles of each unit's activations, and the pictures that excite it the most.

    Args:
        first: The seed of the first picture; the others follow it.
        capacity: Of the sketch of quantiles.
        top: How many pictures to remember.
    """

    def __init__(self, first: int, capacity: int, top: int) -> None:
        self.first = first
        self.quantile, self.top = Quantile(capacity), TopK(top)

    @property
    def count(self) -> int:
        """How many pictures it has seen."""
        return self.top.count

    def add(self, activations: Tensor, batch: Latent) -> Self:
        """Add the activations ``[N, units, h, w]`` of the codes that come next; returns self."""
        if batch.seed != self.first + self.count:
            raise ArgumentError(
                f"Pictures from seed {batch.seed} on were given, {self.first + self.count} is next."
            )
        self.quantile.add(units_as_columns(activations))
        self.top.add(activations.amax(dim=(2, 3)))
        return self

    def table(self) -> pd.DataFrame:
        """Unit, rank, seed and value of the most exciting pictures."""
        values, seeds = self.top.values.T.cpu(), self.top.indices.T.cpu() + self.first
        units, ranks = values.shape
        return pd.DataFrame(
            {
                "unit": [unit for unit in range(units) for _ in range(ranks)],
                "rank": [*range(ranks)] * units,
                "seed": seeds.flatten().numpy(),
                "value": values.flatten().numpy(),
            }
        )

    @classmethod
    def joined(cls, parts: Sequence[Survey]) -> Survey:
        """One survey out of those of consecutive seeds, given in any order.

        Raises:
            ArgumentError: Seeds are missing, or occur twice.
        """
        ordered = sorted(parts, key=lambda part: part.first)
        if not ordered:
            raise ArgumentError("No surveys were given; give those of all parts.")
        whole = cls(ordered[0].first, ordered[0].quantile.capacity, ordered[0].top.k)
        for part in ordered:
            if part.first != whole.first + whole.count:
                raise ArgumentError(
                    f"A survey begins at seed {part.first}, but the one before it ends at "
                    f"{whole.first + whole.count}. Give every part of split(), once."
                )
            whole.quantile.merge(part.quantile)
            whole.top.merge(part.top)
        return whole


class RunFile:
    """How far a run is, in a file that is replaced whole.

    Args:
        path: Where; none for a run that is not kept.
        settings: What the run is; a file of another run is refused and left alone.
        every: Seconds between two writings.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None, settings: Mapping[str, Any], every: float
    ) -> None:
        self.path = None if path is None else Path(path)
        self.settings, self.every = dict(settings), every
        self._written = time.monotonic()

    def read(self, survey: Survey, counts: UnitOverlap) -> tuple[Survey, UnitOverlap]:
        """What the file holds, or what was given where there is none yet.

        Raises:
            ArgumentError: The file belongs to another run.
            CheckpointError: It is damaged.
        """
        if self.path is None or not self.path.exists():
            return survey, counts
        tensors, header = store.load(self.path)
        theirs = header.get("settings") if header.get("kind") == KIND else None
        if theirs != self.settings:
            differing = [k for k, v in self.settings.items() if (theirs or {}).get(k, ...) != v]
            raise ArgumentError(
                f"{str(self.path)!r} belongs to another run: it differs in "
                f"{', '.join(differing) or 'its kind'}. Give another file, or remove this one."
            )
        survey.quantile = Quantile.from_state(_below(tensors, "quantile."))
        survey.top = TopK.from_state(_below(tensors, "top."))
        return survey, UnitOverlap.from_state(_below(tensors, "counts."))

    def write(self, survey: Survey, counts: UnitOverlap, now: bool = False) -> None:
        """Write, if it is time to, or ``now``."""
        if self.path is None or (not now and time.monotonic() - self._written < self.every):
            return
        parts = {"quantile": survey.quantile, "top": survey.top, "counts": counts}
        tensors = {
            f"{name}.{key}": value
            for name, part in parts.items()
            for key, value in part.state_dict().items()
        }
        store.save(self.path, tensors, {"kind": KIND, "settings": self.settings})
        self._written = time.monotonic()


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
