"""What the first walk through the pictures of a dissection learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import pandas as pd
from torch import Tensor

from steerbench.errors import ArgumentError
from steerbench.stats import Quantile, TopK, units_as_columns
from steerbench.store import under
from steerbench.types import Latent


class ActivationStatistics:
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

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that it has learned, as tensors by name."""
        parts = {"quantile": self.quantile, "top": self.top}
        return {
            f"{name}.{key}": value
            for name, part in parts.items()
            for key, value in part.state_dict().items()
        }

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what another one's `state_dict` gave."""
        self.quantile = Quantile.from_state(under(tensors, "quantile."))
        self.top = TopK.from_state(under(tensors, "top."))

    def table(self) -> pd.DataFrame:
        """Return unit, rank, seed and value of the most exciting pictures."""
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
    def join_parts(cls, parts: Sequence[ActivationStatistics]) -> ActivationStatistics:
        """Join the statistics of consecutive seeds, given in any order.

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
