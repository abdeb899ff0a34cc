"""The most and the least of every attribute among any number of samples, in bounded memory.

Of half a million samples a boundary needs the codes with the highest and the lowest scores. A code
is fixed by its seed, so neither pictures nor codes are kept: only, for each attribute and end, the
best scores so far and the seeds that they belong to. The codes are drawn again when they are
needed. Ten thousand of each end of 40 attributes take 10 MB, however many samples are looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from steerbench.errors import CheckpointError
from steerbench.stats import TopK
from steerbench.store import under
from steerbench.types import Generator, Latent


class ScoreExtremes:
    """The seeds with the highest and the lowest scores, for each attribute.

    Args:
        keep: How many of each end.
        first: The seed of the first sample; the others follow it.
        invalid_value: A score that means that there is none.
    """

    def __init__(self, keep: int, first: int, invalid_value: float | None = None) -> None:
        self.first, self.invalid_value = first, invalid_value
        self.high, self.low = TopK(keep), TopK(keep, largest=False)
        self.valid = torch.zeros(0, dtype=torch.int64)

    @property
    def count(self) -> int:
        """How many samples it has seen."""
        return self.low.count

    def add(self, scores: Tensor) -> None:
        """Add the scores ``[N, attributes]`` of the samples that come next."""
        absent = torch.zeros_like(scores, dtype=torch.bool)
        if self.invalid_value is not None:
            absent = scores == torch.tensor(self.invalid_value, dtype=scores.dtype)
        valid = (~absent).sum(0)
        self.valid = valid + self.valid if len(self.valid) else valid
        self.high.add(scores.masked_fill(absent, -torch.inf))
        self.low.add(scores.masked_fill(absent, torch.inf))

    def of(self, column: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return seeds and scores of an attribute's high end, then of its low end.

        The most extreme come first; samples without a score are left out.
        """
        found: list[np.ndarray] = []
        for end in (self.high, self.low):
            values = end.values[:count, column].numpy()
            seeds = end.indices[:count, column].numpy() + self.first
            there = np.isfinite(values)
            found += [seeds[there], values[there]]
        return found[0], found[1], found[2], found[3]

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that it has kept, as tensors by name."""
        ends = {"high": self.high, "low": self.low}
        tensors = {
            f"{end}.{k}": v for end, top in ends.items() for k, v in top.state_dict().items()
        }
        return tensors | {"valid": self.valid}

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what another one's `state_dict` gave.

        Raises:
            CheckpointError: Something is missing.
        """
        high, low = (TopK.from_state(under(tensors, f"{end}.")) for end in ("high", "low"))
        if high.count != low.count or "valid" not in tensors:
            raise CheckpointError("The file of the run is incomplete. Remove it and begin again.")
        self.high, self.low, self.valid = high, low, tensors["valid"]


class SeededCodes:
    """Codes by their seeds, drawn again on demand; all of them at once where they are few.

    Args:
        generator: Draws them.
        space: Whose codes.
        seeds: All that may be asked for.
        limit: How many numbers are drawn at a time, and kept where there are no more.
    """

    def __init__(self, generator: Generator, space: str, seeds: range, limit: int = 2**24) -> None:
        self.generator, self.space, self.seeds = generator, space, seeds
        size = int(np.prod(generator.spaces[space].shape))
        self._batch = max(1, min(1024, limit // size))
        self._all: Tensor | None = None
        self._small = len(seeds) * size <= limit

    def __call__(self, seeds: np.ndarray) -> Tensor:
        """Return codes ``[N, size]`` float32."""
        if self._small:
            if self._all is None:
                self._all = self._draw(self.seeds)
            return self._all[torch.from_numpy(seeds - self.seeds.start)]
        return self._draw(seeds.tolist())

    def _draw(self, seeds: Sequence[int]) -> Tensor:
        parts = []
        for start in range(0, len(seeds), self._batch):
            part = seeds[start : start + self._batch]
            if isinstance(part, range):
                latent = self.generator.sample(len(part), seed=part.start)
            else:
                latent = Latent.cat([self.generator.sample(1, seed=seed) for seed in part])
            with torch.no_grad():
                codes = self.generator.to(latent, self.space).data
            parts.append(codes.detach().float().cpu().flatten(1))
        return torch.cat(parts)
