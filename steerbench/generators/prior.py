"""What the prior looks like in each space: mean, standard deviation, covariance.

Samples are drawn in z, which is known, and taken to a space in batches, so that memory does not
grow with their number: a set of codes is kept only where it is small, and otherwise made again
from the nearest space before it that is (s from w). What was measured is remembered by the
generator's fingerprint, in memory for the next load and in files for the next run::

    STEERBENCH_CACHE/statistics/FINGERPRINT-SPACE-moments.safetensors

A file that is damaged, of something else, or cannot be written only costs measuring again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from steerbench import store
from steerbench.errors import CapabilityError, ShapeError, SteerbenchError
from steerbench.stats import Covariance, MeanVar
from steerbench.types import Latent, Space

SAMPLES = 4096
"""How many codes are measured."""
KEPT = 32 * 2**20
"""The largest set of codes, or measurement, that is kept in memory, in bytes."""
BATCH = 2**22
"""How many numbers a batch of codes may have."""
REMEMBERED = 16
"""How many measurements are kept in memory, the last ones."""
LARGEST = 16_384
"""The longest code whose covariance is measured: two gigabytes of it."""
KIND = "steerbench space statistics 1"

_MEASURED: dict[str, MeanVar] = {}


class SpaceStatistics:
    """The part of a generator that measures its own prior."""

    if TYPE_CHECKING:
        name: str
        architecture: str
        fingerprint: str
        prior: str
        classes: int
        spaces: dict[str, Space]
        _codes: dict[str, Tensor]

        @property
        def device(self) -> torch.device: ...

        @property
        def latent_space(self) -> str: ...

        def _draw(self, random: np.random.RandomState, size: int) -> np.ndarray: ...
        def _space(self, name: str) -> Space: ...
        def to(self, latent: Latent, space: str) -> Latent: ...

    def _measurable(self, spaces: dict[str, Space]) -> dict[str, Space]:
        """Spaces that ask this generator for their statistics."""
        return {
            name: replace(space, measure=partial(self._statistics, name))
            for name, space in spaces.items()
        }

    def codes(self, space: str) -> Iterator[Tensor]:
        """A fixed set of codes of the prior in a space, in batches ``[n, *shape]``."""
        source: str | None = self._space(space).name
        while source is not None and 4 * SAMPLES * self._length(source) > KEPT:
            source = self.spaces[source].parent
        if source is None:
            return self._onwards(self._drawn(self._step(space)), self.latent_space, space)
        if source not in self._codes:
            drawn = self._drawn(self._step(self.latent_space))
            self._codes[source] = torch.cat([*self._onwards(drawn, self.latent_space, source)])
        return self._onwards(self._codes[source].split(self._step(space)), source, space)

    def _onwards(self, batches: Iterable[Tensor], source: str, space: str) -> Iterator[Tensor]:
        """Batches of the set, taken from a space to a later one."""
        labels, start = self._any_labels(), 0
        for batch in batches:
            label = None if labels is None else labels[start : start + len(batch)]
            start += len(batch)
            latent = Latent(source, batch, self.fingerprint, label=label)
            with torch.no_grad():
                data = self.to(latent, space).data
            yield data

    def _drawn(self, step: int) -> Iterator[Tensor]:
        """The codes in the first space; the steps make no difference to what is drawn."""
        random, shape = np.random.RandomState(0), self.spaces[self.latent_space].shape
        for start in range(0, SAMPLES, step):
            count = min(step, SAMPLES - start)
            rows = torch.from_numpy(self._draw(random, count * int(np.prod(shape))))
            yield rows.to(self.device, torch.float32).reshape(count, *shape)

    def _any_labels(self) -> Tensor | None:
        """Classes drawn at random, so that statistics are of all of them."""
        if not self.classes:
            return None
        drawn = np.random.RandomState(0).randint(self.classes, size=SAMPLES)
        return torch.from_numpy(drawn).to(self.device)

    def _length(self, space: str) -> int:
        return int(np.prod(self.spaces[space].shape))

    def _step(self, space: str) -> int:
        return max(1, min(SAMPLES, BATCH // self._length(space)))

    # Measuring.

    def prior_std(self, space: str, vector: Tensor) -> float:
        """The standard deviation of the prior along a unit vector of a space."""
        shape = self._space(space).shape
        if tuple(vector.shape) != shape:
            raise ShapeError(
                f"A vector of shape {list(vector.shape)} was given for space {space!r} of "
                f"{self.name!r}, whose codes have the shape {list(shape)}."
            )
        if space == self.latent_space:
            return self._known_std()
        flat = vector.flatten().to(self.device, torch.float64)
        along = [batch.flatten(1).double() @ flat for batch in self.codes(space)]
        return float(torch.cat(along).std())

    def _known_std(self) -> float:
        return 1.0 if self.prior == "normal" else float(1 / np.sqrt(3.0))

    def _statistics(self, space: str, what: str) -> Tensor:
        """One of ``mean``, ``std`` (of a code's shape) and ``covariance`` (of flat codes)."""
        shape, length = self.spaces[space].shape, self._length(space)
        if what == "covariance" and length > LARGEST:
            raise CapabilityError(
                f"The covariance of {length} numbers was asked for in space {space!r} of "
                f"{self.name!r}. Up to {LARGEST} are measured; take the standard deviation, or "
                "another space."
            )
        if space == self.latent_space:
            value = self._known(what, length)
        else:
            value = self._moments(space, what)
        value = value if what == "covariance" else value.reshape(shape)
        return value.to(self.device, torch.float32)

    def _known(self, what: str, length: int) -> Tensor:
        std = self._known_std()
        if what == "covariance":
            return std**2 * torch.eye(length)
        return torch.full((length,), std if what == "std" else 0.0)

    def _moments(self, space: str, what: str) -> Tensor:
        kind: type[MeanVar] = Covariance if what == "covariance" else MeanVar
        moments = self._remembered(space, kind)
        if isinstance(moments, Covariance) and what == "covariance":
            return moments.covariance()
        return moments.mean if what == "mean" else moments.std(ddof=1)

    def _remembered(self, space: str, kind: type[MeanVar]) -> MeanVar:
        """Moments from memory, from their file, or measured and put in both."""
        name = f"{self.fingerprint}-{space}-{'covariance' if kind is Covariance else 'moments'}"
        if name in _MEASURED:
            return _MEASURED[name]
        path = store.cache_folder("statistics", f"{name}.safetensors")
        header = {"kind": KIND, "architecture": self.architecture, "prior": self.prior}
        moments = _read(path, kind, header, self._length(space))
        if moments is None:
            moments = kind()
            for batch in self.codes(space):
                moments.add(batch.flatten(1))
            with contextlib.suppress(OSError, SteerbenchError):
                path.parent.mkdir(parents=True, exist_ok=True)
                store.save(path, moments.state_dict(), header)
        if sum(8 * part.numel() for part in moments.state_dict().values()) <= KEPT:
            _MEASURED[name] = moments
        while len(_MEASURED) > REMEMBERED:
            del _MEASURED[next(iter(_MEASURED))]
        return moments


def _read(path: Path, kind: type[MeanVar], header: dict[str, str], length: int) -> MeanVar | None:
    """The moments in a file, or none if it does not hold just these."""
    try:
        tensors, found = store.load(path)
        moments = kind.from_state(tensors)
        whole = all(torch.isfinite(part).all() for part in tensors.values())
    except (OSError, SteerbenchError, TypeError, ValueError, RuntimeError):
        return None
    shapes = {part.shape for name, part in tensors.items() if name != "count"}
    expected = {torch.Size([length])} | (
        {torch.Size([length, length])} if kind is Covariance else set()
    )
    right = found == header and whole and shapes == expected and moments.count == SAMPLES
    return moments if right else None


__all__ = ["SpaceStatistics"]
