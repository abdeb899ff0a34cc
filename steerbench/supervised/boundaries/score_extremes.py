"""The most and the least of every attribute among any number of samples, in bounded memory.

Of half a million samples a boundary needs the codes with the highest and the lowest scores. A code
is fixed by its seed, so neither pictures nor codes are kept: only, for each attribute and end, the
best scores so far and the seeds that they belong to. The codes are drawn again when they are
needed. Ten thousand of each end of 40 attributes take 10 MB, however many samples are looked at.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steerbench import store
from steerbench.errors import ArgumentError, CheckpointError
from steerbench.stats import TopK
from steerbench.types import Generator, Latent

KIND = "steerbench boundary run"
SMALL = 2**24
"""All codes are kept where they have no more numbers than this together."""


class ConfidentEnds:
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
        """Of an attribute, seeds and scores of the high end, then of the low end.

        The most extreme come first; samples without a score are left out.
        """
        found: list[np.ndarray] = []
        for end in (self.high, self.low):
            values = end.values[:count, column].numpy()
            seeds = end.indices[:count, column].numpy() + self.first
            there = np.isfinite(values)
            found += [seeds[there], values[there]]
        return found[0], found[1], found[2], found[3]


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

    def read(self, ends: ConfidentEnds) -> None:
        """Go on from what the file holds, if there is one.

        Raises:
            ArgumentError: The file belongs to another run.
            CheckpointError: It is damaged.
        """
        if self.path is None or not self.path.exists():
            return
        tensors, header = store.load(self.path)
        theirs = header.get("settings") if header.get("kind") == KIND else None
        if theirs != self.settings:
            differing = [k for k, v in self.settings.items() if (theirs or {}).get(k, ...) != v]
            raise ArgumentError(
                f"{str(self.path)!r} belongs to another run: it differs in "
                f"{', '.join(differing) or 'its kind'}. Give another file, or remove this one."
            )
        parts = {
            end: {k.removeprefix(f"{end}."): v for k, v in tensors.items() if k.startswith(end)}
            for end in ("high", "low")
        }
        high, low = TopK.from_state(parts["high"]), TopK.from_state(parts["low"])
        if high.count != low.count or "valid" not in tensors:
            raise CheckpointError(f"{str(self.path)!r} is incomplete. Remove it and begin again.")
        ends.high, ends.low, ends.valid = high, low, tensors["valid"]

    def write(self, ends: ConfidentEnds, now: bool = False) -> None:
        """Write, if it is time to, or ``now``."""
        if self.path is None or (not now and time.monotonic() - self._written < self.every):
            return
        tensors = {f"high.{k}": v for k, v in ends.high.state_dict().items()}
        tensors |= {f"low.{k}": v for k, v in ends.low.state_dict().items()}
        tensors["valid"] = ends.valid
        store.save(self.path, tensors, {"kind": KIND, "settings": self.settings})
        self._written = time.monotonic()


class Codes:
    """Codes by their seeds, drawn again on demand; all of them at once where they are few.

    Args:
        generator: Draws them.
        space: Whose codes.
        seeds: All that may be asked for.
    """

    def __init__(self, generator: Generator, space: str, seeds: range) -> None:
        self.generator, self.space, self.seeds = generator, space, seeds
        size = int(np.prod(generator.spaces[space].shape))
        self._batch = max(1, min(1024, SMALL // size))
        self._all: Tensor | None = None
        self._small = len(seeds) * size <= SMALL

    def __call__(self, seeds: np.ndarray) -> Tensor:
        """Codes ``[N, size]`` float32."""
        if self._small:
            if self._all is None:
                self._all = self._drawn(self.seeds)
            return self._all[torch.from_numpy(seeds - self.seeds.start)]
        return self._drawn(seeds.tolist())

    def _drawn(self, seeds: Sequence[int]) -> Tensor:
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
